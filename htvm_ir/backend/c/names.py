"""C identifiers: words that are not taken, the same ones on every run."""

from __future__ import annotations

import re
from collections.abc import Iterable

KEYWORDS = frozenset(
    """auto break case char const continue default do double else enum extern float for goto if inline int long
    register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
    asm typeof bool true false class new delete this template namespace operator private public protected virtual
    friend using try catch throw export explicit mutable not and or xor compl bitand bitor nullptr constexpr
    alignas alignof static_assert thread_local decltype noexcept wchar_t main""".split()  # noqa: SIM905
)
"""Words of C23 and C++ that a name in a header or source must not be."""


def identifier(text: str) -> str:
    """The text with everything C does not allow in a name replaced by ``_``; never empty, never a keyword."""
    word = re.sub(r"\W", "_", text, flags=re.ASCII)
    if not word or word[0].isdigit():
        word = f"v{word}" if word else "v"
    return f"{word}_" if word in KEYWORDS else word


class Names:
    """Hands out identifiers of one C scope; those of the scope around it are not hidden."""

    def __init__(self, taken: Iterable[str] = (), outer: Names | None = None):
        self._taken, self._outer = set(taken), outer
        self._numbers: dict[str, int] = {}  # the last one tried behind each word: those before are taken

    def __contains__(self, name: str) -> bool:
        return name in self._taken or (self._outer is not None and name in self._outer)

    def unique(self, wanted: str) -> str:
        """``wanted`` as an identifier, with the first free number behind it if it is taken."""
        word = identifier(wanted)
        count = self._numbers.get(word, 0)
        while (name := f"{word}_{count}" if count else word) in self:
            count += 1
        self._numbers[word] = count
        self._taken.add(name)
        return name
