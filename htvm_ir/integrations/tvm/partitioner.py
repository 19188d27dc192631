"""Which calls of a Relax module become kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from htvm_ir.integrations.contracts import is_taken, kinds
from htvm_ir.integrations.forms import FORMS, maybe_widened, pattern
from htvm_ir.integrations.tvm.bindings import backend_utils, relax, tvm
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
        """A call of the Relax operator of that name."""
        if op == "clip":
            arguments = (*arguments, self.dpl.wildcard(), self.dpl.wildcard())
        return self.dpl.is_op(self.names[op])(*arguments)

    def product(self, activation: Any, weights: Any) -> Any:
        """A product with [C, K], or with [K, C] transposed."""
        turned = maybe_widened(self, self.call("transpose", weights))
        return self.call("matmul", activation, self.either(turned, weights))

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
    """Whether an engine computes what a pattern has matched, and nobody else reads what is inside."""
    leaks = backend_utils().has_leaking_intermediate_variables

    def check(context: Any) -> bool:
        if leaks(context):
            return False
        values = dict(context.matched_bindings.items())
        return is_taken(lambda: Reader(values).call(context.matched_expr), target, engines)

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
    _mark(result, {TARGET: target} | ({} if engines is None else {ENGINES: ",".join(engines)}))
    return result


def _mark(mod: Any, attributes: Mapping[str, str]) -> None:
    """Let new functions say whom they are for, and all have short symbols: TVM's hold the names of all operators."""
    ours = [v for v, f in mod.functions.items() if f.attrs is not None and f.attrs.get("Codegen") == NAME]
    for number, variable in enumerate(ours):
        function = mod[variable].with_attr("global_symbol", f"{NAME}_{number}")
        is_new = TARGET not in function.attrs
        mod.update_func(variable, function.with_attrs(dict(attributes)) if is_new else function)
