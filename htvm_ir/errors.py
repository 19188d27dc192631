"""The one exception a user's mistake raises."""

from __future__ import annotations


class HtvmError(Exception):
    """A mistake in the user's input: one line that says what, where and what to do.

    The command line prints the message and exits with code 1; anything else that escapes is a bug.
    """
