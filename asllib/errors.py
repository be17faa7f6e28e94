"""Errors in a user's input."""

LONGEST = 2000  # characters of a message; a damaged file's value can be millions


class InputError(ValueError):
    """A bad input; its message is one line: what was wrong, the value, where, and what to do.

    The value may be anybody's: characters that could control a terminal are escaped, and a long message is cut.
    """

    def __init__(self, message: str) -> None:
        half = LONGEST // 2
        short = message if len(message) <= LONGEST else f"{message[:half]}[..]{message[-half:]}"
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in short))


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type's name where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
