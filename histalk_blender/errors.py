"""The one error that a user is meant to read."""


class HiSTalkError(ValueError):
    """Something the user can mend: one sentence that names the cause and what to do."""


def shown(what: object, longest: int = 120) -> str:
    """Text out of somebody's file, fit for a message: one line, printable, not too long."""
    text = str(what)[: longest + 1]
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= longest else text[:longest] + " ..."
