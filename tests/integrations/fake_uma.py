"""As much of TVM 0.11 to 0.19 as a UMA backend touches, strict about how it is called.

Expressions are plain objects; patterns match them as ``tvm.relay.dataflow_pattern`` does; a backend can only do what
the interface allows (``tvm.relay.backend.contrib.uma``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from htvm_ir.integrations.kernels import Array


@dataclass
class TensorType:
    shape: tuple[int, ...]
    dtype: str


@dataclass(eq=False)
class Op:
    name: str


@dataclass(eq=False)
class Var:
    name_hint: str
    checked_type: TensorType


@dataclass(eq=False)
class GlobalVar:
    name_hint: str


class Constant:
    """A bound tensor or number."""

    def __init__(self, array: Array):
        self.data = SimpleNamespace(numpy=lambda: array)
        self.checked_type = TensorType(array.shape, str(array.dtype))


@dataclass(eq=False)
class Function:
    params: list[Var]
    body: Any
    attrs: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(eq=False)
class Call:
    op: Any
    args: list[Any]
    checked_type: TensorType
    attrs: Any = None


@dataclass(eq=False)
class IRModule:
    functions: dict[str, Any]

    def __getitem__(self, key: str | GlobalVar) -> Any:
        return self.functions[key if isinstance(key, str) else key.name_hint]


def call(name: str, *arguments: Any, dtype: str = "int32", shape: tuple[int, ...] | None = None, **attrs: Any) -> Call:
    """A call of a Relay operator."""
    result = TensorType(shape or arguments[0].checked_type.shape, dtype)
    return Call(Op(name), list(arguments), result, SimpleNamespace(**attrs))


class Pattern:
    """A pattern of ``tvm.relay.dataflow_pattern``."""

    def __init__(self, match: Callable[[Any], bool]):
        self.match = match

    def __or__(self, other: Pattern) -> Pattern:
        return Pattern(lambda e: self.match(e) or other.match(e))

    def has_attr(self, attrs: dict[str, Any]) -> Pattern:
        return Pattern(lambda e: self.match(e) and all(getattr(e.attrs, k, None) == v for k, v in attrs.items()))

    def __call__(self, *arguments: Pattern) -> Pattern:
        def match(e: Any) -> bool:
            same = isinstance(e, Call) and self.match(e.op) and len(e.args) == len(arguments)
            return same and all(p.match(a) for p, a in zip(arguments, e.args, strict=True))

        return Pattern(match)


class PassPhase(Enum):
    PRE_PARTITIONING = auto()
    POST_PARTITIONING_0 = auto()
    POST_PARTITIONING_1 = auto()
    TIR_PHASE_0 = auto()
    TIR_PHASE_1 = auto()
    TIR_PHASE_2 = auto()
    TIR_PHASE_3 = auto()


@dataclass
class Pass:
    """What ``module_pass`` and ``prim_func_pass`` make of a function."""

    function: Callable[..., Any]
    kind: str

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)


def make_pass(kind: str) -> Callable[..., Pass]:
    def decorate(pass_func: Callable[..., Any], opt_level: int | None = None) -> Pass:
        assert opt_level is not None, "TVM: please provide opt_level"
        assert pass_func.__name__
        return Pass(pass_func, kind)

    return decorate


class UMABackend:
    """The base class; records what is registered."""

    def __init__(self, merge_compiler_regions: bool = True) -> None:
        assert isinstance(merge_compiler_regions, bool)
        assert self.target_name.isidentifier()
        self.patterns: list[tuple[str, Pattern, Callable[[Any], bool] | None]] = []
        self.passes: list[tuple[PassPhase, Pass]] = []
        self.includes: Callable[[], str] | None = None

    @property
    def target_name(self) -> str:
        raise NotImplementedError

    def _register_target_attr(self, name: str, default: Any = "") -> None:
        raise AssertionError("register() of several versions cannot iterate over attributes")

    def _register_relay_pass(self, phase: PassPhase, relay_pass: Pass) -> None:
        assert phase.name.startswith(("PRE", "POST")) and relay_pass.kind == "module"
        self.passes.append((phase, relay_pass))

    def _register_tir_pass(self, phase: PassPhase, tir_pass: Pass) -> None:
        assert phase.name.startswith("TIR") and tir_pass.kind == "prim_func"
        self.passes.append((phase, tir_pass))

    def _register_pattern(self, name: str, pattern: Pattern, predicate: Callable[[Any], bool] | None = None) -> None:
        assert "." not in name, "UMA puts the target's name before it"
        self.patterns.append((name, pattern, predicate))

    def _register_codegen(self, fmt: str = "c", **kwargs: Any) -> None:
        assert fmt == "c" and set(kwargs) <= {"includes"}
        self.includes = kwargs["includes"]

    def run(self, phase: PassPhase, *arguments: Any) -> list[Any]:
        """What the passes of a phase give, in order of registration."""
        return [p(*arguments) for at, p in self.passes if at is phase]

    def matching(self, expression: Any) -> list[str]:
        """The patterns that MergeComposite would take an expression for."""
        found: Iterator[tuple[str, Pattern, Any]] = iter(self.patterns)
        return [n for n, pattern, check in found if pattern.match(expression) and (check is None or check(expression))]


@dataclass
class Buffer:
    data: str
    dtype: str


@dataclass
class PrimFunc:
    """A lowered function: parameters, their buffers, and a body."""

    params: list[str]
    buffer_map: dict[str, Buffer]
    attrs: dict[str, str]
    body: Any = "loops"

    def with_body(self, body: Any) -> PrimFunc:
        return PrimFunc(self.params, self.buffer_map, self.attrs, body)


def post_order_visit(expression: Any, visit: Callable[[Any], None]) -> None:
    """Arguments first."""
    for argument in getattr(expression, "args", getattr(expression, "fields", [])):
        post_order_visit(argument, visit)
    visit(expression)


def same_module(mod: IRModule, *context: Any) -> IRModule:
    """What InferType does here: types are there from the start."""
    del context
    return mod


def call_extern(dtype: str, name: str, *arguments: Any) -> tuple[Any, ...]:
    """``tir.call_extern``."""
    return ("call_extern", dtype, name, *arguments)


def evaluate(value: Any) -> tuple[Any, ...]:
    """``tir.Evaluate``."""
    return ("evaluate", value)


def is_op(name: str) -> Pattern:
    return Pattern(lambda e: isinstance(e, Op) and e.name == name)


def is_constant() -> Pattern:
    return Pattern(lambda e: isinstance(e, Constant))


def wildcard() -> Pattern:
    return Pattern(lambda e: True)


def infer_type() -> Pass:
    return Pass(same_module, "module")


UMA = "tvm.relay.backend.contrib.uma"
TIR = {"call_extern": call_extern, "Evaluate": evaluate}
MODULES: dict[str, dict[str, Any]] = {
    "tvm": {
        "ir": SimpleNamespace(transform=SimpleNamespace(module_pass=make_pass("module"))),
        "tir": SimpleNamespace(**TIR, transform=SimpleNamespace(prim_func_pass=make_pass("prim_func"))),
    },
    "tvm.relay": {
        "transform": SimpleNamespace(InferType=infer_type),
        "analysis": SimpleNamespace(post_order_visit=post_order_visit),
    },
    "tvm.relay.dataflow_pattern": {"is_op": is_op, "is_constant": is_constant, "wildcard": wildcard},
    "tvm.relay.backend": {},
    "tvm.relay.backend.contrib": {},
    UMA: {},
    f"{UMA}.api": {},
    f"{UMA}.api.utils": {"PassPhase": PassPhase},
    f"{UMA}.backend": {"UMABackend": UMABackend},
}


def install(patch: pytest.MonkeyPatch) -> None:
    """Let imports of TVM find all this."""
    for name in [name for name in sys.modules if name == "tvm" or name.startswith("tvm.")]:
        patch.delitem(sys.modules, name)
    for name, members in MODULES.items():
        patch.setitem(sys.modules, name, module := ModuleType(name))
        vars(module).update(members)
    patch.delitem(sys.modules, "htvm_ir.integrations.uma.backend", raising=False)


def number(value: int) -> Constant:
    return Constant(np.array(value, "int32"))
