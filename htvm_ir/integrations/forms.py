"""The calls to look for: an operator, and a requantisation in any of the forms that ``kernels`` reads.

One description for every pattern language that can say "a call of", "a constant" and "either".
"""

from __future__ import annotations

from typing import Protocol, TypeVar

Pattern = TypeVar("Pattern")


class Language(Protocol[Pattern]):
    """How a compiler writes patterns; operators have the names in ``kernels``."""

    def call(self, op: str, *arguments: Pattern) -> Pattern:
        """A call of an operator on these arguments."""
        ...

    def widened(self, inner: Pattern) -> Pattern:
        """A cast to int32, in which engines accumulate."""
        ...

    def constant(self) -> Pattern:
        """A tensor known at compile time, or one that will be bound before."""
        ...

    def anything(self) -> Pattern:
        """Any tensor."""
        ...

    def product(self, activation: Pattern, weights: Pattern) -> Pattern:
        """A dense layer, in any way in which one is written."""
        ...

    def either(self, first: Pattern, second: Pattern) -> Pattern:
        """What matches one of two; the first is preferred."""
        ...


FORMS = ("conv2d", "dense", "add")
"""Kinds of workload that there are patterns for."""

AFTER = (
    ("add",),  # bias
    ("add",),  # half a unit, to round to nearest
    ("cast",),
    ("multiply",),
    ("add",),
    ("relu", "clip", "maximum"),
    ("right_shift", "floor_divide"),
    ("add",),  # zero point
    ("relu", "clip", "maximum"),
    ("clip", "minimum"),
)
"""What may stand between an operator and the cast that ends its requantisation, each once or not at all."""

WITHOUT_CONSTANT = frozenset({"cast", "relu", "clip"})


def pattern(language: Language[Pattern], kind: str) -> Pattern:
    """The pattern of a kind of workload with its requantisation."""
    result = _operator(language, kind)
    for choices in AFTER:
        with_step = [_step(language, name, result) for name in choices]
        for alternative in reversed(with_step):
            result = language.either(alternative, result)
    return language.call("cast", result)


def _operator(language: Language[Pattern], kind: str) -> Pattern:
    if kind == "add":
        return language.call("add", *(language.widened(language.anything()) for _ in range(2)))
    weights = maybe_widened(language, language.constant())
    activation = maybe_widened(language, language.anything())
    if kind == "conv2d":
        return language.call("conv2d", activation, weights)
    return language.product(activation, weights)


def maybe_widened(language: Language[Pattern], inner: Pattern) -> Pattern:
    """A tensor, or that as int32."""
    return language.either(language.widened(inner), inner)


def _step(language: Language[Pattern], name: str, before: Pattern) -> Pattern:
    if name in WITHOUT_CONSTANT:
        return language.call(name, before)
    one_way = language.call(name, before, language.constant())
    if name in ("add", "multiply", "maximum", "minimum"):
        return language.either(one_way, language.call(name, language.constant(), before))
    return one_way
