"""The one error that users are meant to read."""


class HiSTalkError(ValueError):
    """Something the user can fix: one sentence that names the cause and what to do."""


def shown(what: object, longest: int = 120) -> str:
    """Text out of somebody's file, fit for a message: one line, printable, not too long."""
    text = str(what)[: longest + 1]
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= longest else text[:longest] + " ..."


def sentence_of(error: BaseException) -> str:
    """The message for any error: a HiSTalkError's own sentence, or type and text of an unexpected one."""
    if isinstance(error, HiSTalkError):
        return str(error)
    text = " ".join(str(error).split())[:200]
    return f"Unexpected error ({type(error).__name__}{': ' if text else ''}{text}): the console has the details."
