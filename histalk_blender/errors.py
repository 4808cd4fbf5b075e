"""The one error that a user is meant to read."""


class HiSTalkError(ValueError):
    """Something the user can fix: one sentence that names the cause and what to do."""


def shown(what: object, longest: int = 120) -> str:
    """Text out of somebody's file, fit for a message: one line, printable, not too long."""
    text = str(what)[: longest + 1]
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= longest else text[:longest] + " ..."


def sentence_of(error: BaseException) -> str:
    """What a user is told of any error: its own sentence, or the error's name where nobody foresaw it."""
    if isinstance(error, HiSTalkError):
        return str(error)
    said = " ".join(str(error).split())[:200]
    return f"Unexpected error ({type(error).__name__}{': ' if said else ''}{said}): the console has the details."
