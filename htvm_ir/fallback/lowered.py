"""What TVM makes of an ONNX model, in plain data: C functions on raw pointers, and the order they are called in.

This is the only module that imports TVM, whose packages have no types; it is imported only where TVM is wanted.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from htvm_ir.errors import HtvmError

if TYPE_CHECKING:
    import onnx

LITERAL = "HTVM_FLOAT"
"""Stands in the C for a float literal, with its bits as the argument: TVM prints 7 digits."""

_SAME = ("fabs", "floor", "ceil", "trunc", "nearbyint", "log2", "log10", "exp2")
_FUNCTIONS = {**{name: f"{name}f" for name in _SAME}, "round": "nearbyintf"}
"""C functions of TVM's intrinsics in single precision. ONNX rounds halves to even wherever it says "round"
(Round, QuantizeLinear); TVM's C would round them away from zero."""

_PIPELINE = "htvm_raw_pointers"


@dataclass(frozen=True)
class Buffer:
    """A tensor: elements and type."""

    size: int
    dtype: str


@dataclass(frozen=True)
class Call:
    """``function(arguments...)``: names of buffers, or constants."""

    function: str
    arguments: tuple[str | NDArray[Any], ...]


@dataclass(frozen=True)
class Lowered:
    """A model as calls on buffers. ``buffers`` holds every name; ``inputs`` and ``output`` are the model's."""

    source: str
    calls: tuple[Call, ...]
    buffers: Mapping[str, Buffer]
    inputs: tuple[str, ...]
    output: str


def _load(module: str) -> Any:
    """One of TVM's modules, of which no type is known, whether it is installed or not."""
    return import_module(module)


def lower(model: onnx.ModelProto) -> Lowered:
    """Let TVM import, legalise and fuse a model with static shapes and one output, and print it as C.

    Raises:
        HtvmError: TVM cannot; one line with its reason.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _lower(model)
    except HtvmError:
        raise
    except Exception as error:  # TVM raises anything from NotImplementedError to its own
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise HtvmError(f"TVM cannot compile it: {(lines or [type(error).__name__])[-1][:200]}") from None


def _lower(model: onnx.ModelProto) -> Lowered:
    tvm, passes, onnx_frontend = _load("tvm"), _load("tvm.relax.transform"), _load("tvm.relax.frontend.onnx")

    steps = [
        passes.LegalizeOps(),
        passes.FoldConstant(),
        passes.AnnotateTIROpPattern(),
        passes.FuseOps(),
        passes.FuseTIR(),
        passes.DeadCodeElimination(),
    ]
    module = tvm.ir.transform.Sequential(steps)(onnx_frontend.from_onnx(model, keep_params_in_input=False))
    main = module["main"]
    functions = {var.name_hint: f for var, f in module.functions.items() if isinstance(f, tvm.tirx.PrimFunc)}
    program = _Program(functions)
    program.read(main)
    return Lowered(_source(functions), tuple(program.calls), program.buffers, program.inputs, program.output)


class _Program:
    """The bindings of the main function, read in order."""

    def __init__(self, functions: Mapping[str, Any]) -> None:
        self.functions = functions
        self.buffers: dict[str, Buffer] = {}
        self.calls: list[Call] = []
        self.inputs: tuple[str, ...] = ()
        self.output = ""
        self._known: dict[Any, tuple[str, ...]] = {}
        self._count = 0

    def read(self, main: Any) -> None:
        """Fill the lists."""
        self.inputs = tuple(self._new(f"input{n}", param.ty) for n, param in enumerate(main.params))
        self._known = {param: (name,) for param, name in zip(main.params, self.inputs, strict=True)}
        for block in main.body.blocks:
            for binding in block.bindings:
                self._bind(binding.var, binding.value)
        found = self._known.get(main.body.body, ())
        if len(found) != 1 or found[0] in self.inputs:
            raise HtvmError("TVM cannot compile it: its result is not computed by one kernel")
        self.output = found[0]

    def _bind(self, var: Any, value: Any) -> None:
        kind = type(value).__name__
        if value in self._known:
            self._known[var] = self._known[value]
        elif kind == "TupleGetItem":
            self._known[var] = (self._known[value.tuple_value][value.index],)
        elif kind == "Tuple":
            self._known[var] = tuple(name for part in value.fields for name in self._known[part])
        elif kind == "Call" and getattr(value.op, "name", "") == "relax.call_tir":
            self._known[var] = self._call(value)
        else:
            raise HtvmError(f"TVM cannot compile it: {getattr(value.op, 'name', kind)} stays a call of its run time")

    def _call(self, value: Any) -> tuple[str, ...]:
        """A kernel on operands, results, and what it allocates itself."""
        function = value.args[0].name_hint
        arguments: list[str | NDArray[Any]] = []
        for argument in value.args[1].fields:
            if argument in self._known:
                arguments += self._known[argument]
            else:
                arguments.append(np.ascontiguousarray(argument.value.numpy()))
        (types,) = value.ty_args
        results = tuple(self._new("t", type_) for type_ in getattr(types, "fields", [types]))
        own = [self._of(f"w{self._next()}", b.shape, str(b.dtype)) for b in _allocated(self.functions[function])]
        self.calls.append(Call(symbol_of(function), (*arguments, *results, *own)))
        return results

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _new(self, name: str, type_: Any) -> str:
        shape = getattr(getattr(type_, "shape", None), "values", None)
        if shape is None:
            raise HtvmError("TVM cannot compile it: a shape depends on data")
        return self._of(name if name.startswith("input") else f"{name}{self._next()}", shape, str(type_.dtype))

    def _of(self, name: str, shape: Sequence[Any], dtype: str) -> str:
        try:
            size = int(np.prod([int(extent) for extent in shape], dtype=np.int64))
        except TypeError:
            raise HtvmError("TVM cannot compile it: a shape depends on data") from None
        self.buffers[name] = Buffer(size, dtype)
        return name


def symbol_of(function: str) -> str:
    """The C name of one of TVM's kernels."""
    return f"tvm_{function}"


def _allocated(function: Any) -> list[Any]:
    """The buffers of a kernel's body."""
    return list(function.body.block.alloc_buffers)


def _source(functions: Mapping[str, Any]) -> str:
    """The C of kernels whose parameters, what they allocate included, are raw pointers."""
    tvm = _load("tvm")
    _load("tvm.tirx.compilation_pipeline").register_tir_pipeline(_PIPELINE, _pipeline)
    lifted = {name: _lifted(f).with_attr("global_symbol", symbol_of(name)) for name, f in functions.items()}
    module = tvm.IRModule({tvm.ir.GlobalVar(symbol_of(name)): f for name, f in lifted.items()})
    with tvm.transform.PassContext(config={"tirx.disable_assert": True}):
        return tvm.tirx.build(module, target="c", pipeline=_PIPELINE).inspect_source()


def _lifted(function: Any) -> Any:
    """A kernel that gets the buffers it allocates as parameters."""
    s_tir, prim_func = _load("tvm.s_tir"), _load("tvm.tirx").PrimFunc

    realize, buffers = function.body, _allocated(function)
    old = realize.block
    block = s_tir.SBlock(
        old.iter_vars, old.reads, old.writes, old.name_hint, old.body, old.init, [], old.match_buffers, old.annotations
    )
    body = s_tir.SBlockRealize(realize.iter_values, realize.predicate, block)
    return prim_func([*function.params, *buffers], body, function.ret_type, function.attrs)


def _pipeline() -> Any:
    """TVM's lowering of kernels to C, with ``_raw_pointers`` in the place of its packed interface."""
    sequence = _load("tvm.ir.transform").Sequential
    blocks, passes = _load("tvm.s_tir.transform"), _load("tvm.tirx.transform")

    steps = [
        blocks.CanonicalizeLoop(),
        blocks.LowerInitBlock(),
        blocks.PlanAndUpdateBufferAllocationLocation(),
        blocks.ConvertBlocksToOpaque(),
        blocks.CompactBufferAllocation(),
        blocks.LowerMatchBuffer(),
        blocks.StmtSimplify(),
        blocks.LowerOpaqueBlock(),
        passes.FlattenBuffer(),
        passes.NarrowDataType(32),
        blocks.LoopPartition(),
        passes.VectorizeLoop(False),
        passes.UnrollLoop(),
        blocks.RenormalizeSplitPattern(),
        passes.StmtSimplify(),
        passes.RemoveNoOp(),
        blocks.RewriteUnsafeSelect(),
        passes.CommonSubexprElim(),
        passes.prim_func_pass(_raw_pointers, opt_level=0),
    ]

    def finish() -> Any:
        names, literals = (passes.prim_func_pass(f, opt_level=0) for f in (_functions_by_name, _exact_literals))
        last = [passes.LowerTVMBuiltin(), names, passes.LowerIntrin(), literals]
        return sequence(last)

    return sequence(steps), finish, finish


def _raw_pointers(function: Any, _module: Any, _context: Any) -> Any:
    """Buffers as parameters become typed pointers, which ``DeclBuffer`` gives their shapes back."""
    ir, tirx = _load("tvm.ir"), _load("tvm.tirx")

    pointers = [tirx.Var(b.name, ir.PointerType(ir.PrimType(str(b.dtype)))) for b in function.params]
    views = [tirx.DeclBuffer(b, data=pointer) for b, pointer in zip(function.params, pointers, strict=True)]
    body = tirx.SeqStmt([*views, function.body])
    return tirx.PrimFunc(pointers, body, function.ret_type, function.attrs).with_attr("calling_conv", 0)


def _functions_by_name(function: Any, _module: Any, _context: Any) -> Any:
    """Intrinsics that TVM does not lower for C, or not as ONNX means them, become calls of libm's functions."""
    call_pure_extern = _load("tvm.tirx").call_pure_extern

    def named(call: Any) -> Any:
        name = str(getattr(call.op, "name", "")).removeprefix("tirx.")
        if name not in _FUNCTIONS or str(call.ty) != "float32":
            return call
        return call_pure_extern("float32", _FUNCTIONS[name], *call.args)

    return _mapped(function, _load("tvm.ir").Call, named)


def _exact_literals(function: Any, _module: Any, _context: Any) -> Any:
    """Float literals become calls of LITERAL with their bits."""
    tirx = _load("tvm.tirx")

    def exact(literal: Any) -> Any:
        if str(literal.ty) != "float32":
            return literal
        (bits,) = struct.unpack("<I", struct.pack("<f", np.float32(literal.value)))
        return tirx.call_pure_extern("float32", LITERAL, tirx.IntImm("int64", bits))

    return _mapped(function, tirx.FloatImm, exact)


def _mapped(function: Any, kind: Any, change: Callable[[Any], Any]) -> Any:
    """A function with all expressions of a kind changed."""
    return function.with_body(_load("tvm_ffi").structural_map(function.body, (kind, change), order="post"))
