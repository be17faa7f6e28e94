"""What goes wrong with a user's input."""

from __future__ import annotations

import re

LONGEST = 2000  # characters of a message; a damaged file's value can be millions


class InputError(ValueError):
    """A bad input; its message is one line: what was wrong, the value, where, and what to do.

    The value may come from anybody's file: line ends and other control characters are written as escapes, so that the
    message stays one line and cannot steer a terminal, and a very long one is cut in its middle.
    """

    def __init__(self, message: str) -> None:
        line = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", lambda c: ascii(c[0])[1:-1], message)
        half = LONGEST // 2
        super().__init__(line if len(line) <= LONGEST else f"{line[:half]}[..]{line[-half:]}")
