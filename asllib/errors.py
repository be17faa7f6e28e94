"""What goes wrong with a user's input."""


class InputError(ValueError):
    """A bad input; its message is one line: what was wrong, the value, where, and what to do."""
