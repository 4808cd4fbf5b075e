"""The one error that a user is meant to read."""


class HiSTalkError(ValueError):
    """Something the user can mend: one sentence that names the cause and what to do."""
