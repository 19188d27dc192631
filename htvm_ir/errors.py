"""The one exception a user's mistake raises."""

from __future__ import annotations


class HtvmError(Exception):
    """A mistake in the user's input: one line that says what, where and what to do.

    The command line prints the message and exits with code 1; anything else that escapes is a bug.
    """


class NoRoomError(HtvmError):
    """The network, computed in some way, needs `missing` bytes more of a memory than there are."""

    def __init__(self, message: str, memory: str, missing: int):
        super().__init__(message)
        self.memory, self.missing = memory, missing
