"""The one error that users are meant to read."""


class HiSTalkError(ValueError):
    """Something the user can fix: one sentence that names the cause and what to do."""


def error_sentence(error: BaseException) -> str:
    """The message for any error: a HiSTalkError's own sentence, or type and text of an unexpected one."""
    if isinstance(error, HiSTalkError):
        return str(error)
    text = " ".join(str(error).split())[:200]
    return f"Unexpected error ({type(error).__name__}{': ' if text else ''}{text}): the console has the details."
