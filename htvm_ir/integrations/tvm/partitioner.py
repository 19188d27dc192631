"""Which calls of a Relax module become kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from htvm_ir.integrations.contracts import kinds, why_not
from htvm_ir.integrations.forms import FORMS, pattern
from htvm_ir.integrations.requantisation import Refused
from htvm_ir.integrations.tvm.bindings import relax, tvm
from htvm_ir.integrations.tvm.reader import OPERATORS, Reader

NAME = "htvm"
TARGET, ENGINES = "htvm.target", "htvm.engines"
"""Attributes of a partitioned function: the target, and its engines separated by commas if not all."""


class Patterns:
    """The pattern language of ``tvm.relax.dpl``; see ``forms.Language``."""

    def __init__(self) -> None:
        self.dpl = relax().dpl
        self.names = {ours: theirs for theirs, ours in OPERATORS.items()}

    def call(self, op: str, *arguments: Any) -> Any:
        """A call of the Relax operator of that name; Relax has no ``dense``."""
        if op == "clip":
            arguments = (*arguments, self.dpl.wildcard(), self.dpl.wildcard())
        return self.dpl.is_op(self.names["matmul" if op == "dense" else op])(*arguments)

    def widened(self, inner: Any) -> Any:
        """A cast to int32."""
        return self.call("cast", inner).has_dtype("int32")

    def constant(self) -> Any:
        """A constant."""
        return self.dpl.is_const()

    def anything(self) -> Any:
        """Any expression."""
        return self.dpl.wildcard()

    def either(self, first: Any, second: Any) -> Any:
        """One of two."""
        return first | second


def patterns(target: str, engines: tuple[str, ...] | None = None) -> list[tuple[str, Any, dict[str, Any], Any]]:
    """The patterns of the kinds of workload that the target's engines compute, for ``FuseOpsByPattern``.

    Raises:
        HtvmError: TVM is not installed, or there is no such target or engine.
    """
    language, check = Patterns(), _check(target, engines)
    known = kinds(target, engines)
    return [(f"{NAME}.{kind}", pattern(language, kind), {}, check) for kind in FORMS if kind in known]


def _check(target: str, engines: tuple[str, ...] | None) -> Callable[[Any], bool]:
    """Whether an engine computes what a pattern has matched."""

    def check(context: Any) -> bool:
        from tvm.relax.backend.utils import (  # pyright: ignore
            has_leaking_intermediate_variables,
        )

        if has_leaking_intermediate_variables(context):
            return False
        try:
            root = Reader(dict(context.matched_bindings.items())).call(context.matched_expr)
        except Refused:
            return False
        return why_not(root, target, engines) is None

    return check


def partition(mod: Any, target: str, engines: tuple[str, ...] | None, params: Mapping[str, Any], merge: bool) -> Any:
    """See :func:`htvm_ir.integrations.tvm.partition`."""
    transform = relax().transform
    steps = [transform.BindParams("main", dict(params))] if params else []
    steps += [
        transform.ConvertToDataflow(1),
        transform.FuseOpsByPattern(patterns(target, engines), bind_constants=True, annotate_codegen=not merge),
    ]
    steps += [transform.MergeCompositeFunctions()] if merge else []
    result = tvm().transform.Sequential(steps)(mod)
    attributes = {TARGET: target} | ({} if engines is None else {ENGINES: ",".join(engines)})
    for variable, function in result.functions.items():
        if function.attrs is not None and function.attrs.get("Codegen") == NAME:
            result.update_func(variable, function.with_attrs(attributes))
    return result
