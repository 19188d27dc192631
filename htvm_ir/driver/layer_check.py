"""Compare what every kernel left in memory with the interpreter, and with stored layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from xdsl.dialects.builtin import IntegerAttr, MemRefType, ModuleOp, StringAttr
from xdsl.dialects.func import CallOp, FuncOp
from xdsl.dialects.memref import SubviewOp
from xdsl.ir import BlockArgument, Operation, SSAValue

from htvm_ir.backend.c.interface import arena_symbol
from htvm_ir.dialects.attributes import is_integers, values
from htvm_ir.dialects.graph import NAME
from htvm_ir.driver.edges import Array
from htvm_ir.driver.harness import Board, KernelReturn
from htvm_ir.errors import HtvmError
from htvm_ir.passes.chunks import ROWS
from htvm_ir.passes.fold_dead_channels import kept_indices, kept_part
from htvm_ir.passes.pipeline_dma import root
from htvm_ir.passes.plan_memory import OFFSET
from htvm_ir.passes.workloads import FIRST_ROW, MIRRORED, TURNED, kernel_name, kernel_types, layout_of, main_function

if TYPE_CHECKING:
    from htvm_ir.driver.execute import Check


class LayerCheck:
    """Compares what each kernel left in memory when the last function of it returned."""

    def __init__(self, module: ModuleOp, board: Board, counts: Check):
        self.board, self.counts = board, counts
        self.kernels = {f.sym_name.data: f for f in module.ops if isinstance(f, FuncOp) and f.sym_name.data != "main"}
        self.layers = {name: kernel_name(f) for name, f in self.kernels.items()}
        self.calls = [op for op in main_function(module).body.block.ops if isinstance(op, CallOp)]
        self.last = {self.layers[call.callee.string_value()]: call for call in self.calls}
        self.expected: Mapping[str, Array] | None = None
        self.kept = kept_indices(module)
        self.seen: dict[str, Array] = {}
        self.strips: dict[str, tuple[Array, set[int]]] = {}

    def expect(self, expected: Mapping[str, Array] | None) -> None:
        """The interpreter's tensors of the sample that runs next; None = do not compare."""
        self.expected = expected
        if expected is not None:
            names = {self._name(f) for f in self.kernels.values()}
            self.counts.layers_skipped = len(set(expected) - names)

    def see(self, event: KernelReturn) -> None:
        """A function returned; ``@main`` calls them one after the other."""
        call = self.calls[len(self.board.returns) - 1]
        if self.expected is None or self.last[self.layers[event.kernel]] is not call:
            return
        function = self.kernels[event.kernel]
        name = self._name(function)
        if name not in self.expected:
            self.counts.layers_skipped += 1
            return
        types = kernel_types(function)
        layout, shape = layout_of(types[-1]), types[-1].get_shape()
        dtype = self.expected[name].dtype
        if (first := _first_row(function)) is not None:
            stored = self._rows(call.arguments[-1], layout.stored_shape(shape), dtype)
            self._strip(name, function, first, layout.unpack(stored, shape))
            return
        size = layout.stored_size(shape) * dtype.itemsize
        stored = np.frombuffer(self._left(root(call.arguments[-1]), size), dtype)
        self.seen[name] = _as_named(function, layout.unpack(stored, shape))
        self._count(name, self.seen[name], self.expected[name], "the interpreter")

    def _strip(self, name: str, function: FuncOp, first: int, got: Array) -> None:
        """Some rows of a tensor; it is seen when all its rows have been."""
        assert self.expected is not None
        expected = _as_stored(function, kept_part(self.expected[name], self.kept.get(name)))
        rows = slice(first, first + got.shape[ROWS])
        self._compare(name, got, expected[:, :, rows], "the interpreter")
        whole, missing = self.strips.setdefault(name, (np.zeros_like(expected), set(range(expected.shape[ROWS]))))
        whole[:, :, rows] = got
        missing.difference_update(range(rows.start, rows.stop))
        if not missing:
            self.seen[name] = _as_named(function, whole)

    def _rows(self, operand: SSAValue, extents: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """What is in a buffer of ``@main``, or in the view of one that is some rows of a tensor."""
        view, buffer = operand.owner, root(operand)
        if not isinstance(view, SubviewOp):
            return np.frombuffer(self._left(buffer, prod(extents) * dtype.itemsize), dtype)
        assert isinstance(buffer.type, MemRefType)
        whole = np.frombuffer(self._left(buffer, prod(buffer.type.get_shape()) * dtype.itemsize), dtype)
        ends = zip(view.static_offsets.get_values(), extents, strict=True)
        part = whole.reshape(buffer.type.get_shape())[tuple(slice(int(o), int(o) + n) for o, n in ends)]
        return np.ascontiguousarray(part).reshape(-1)

    def _left(self, buffer: SSAValue, size: int) -> bytes:
        """What is in a buffer of ``@main``: the caller's, or one in an arena."""
        machine, space = self.board.machine, getattr(buffer.type, "memory_space", None)
        if isinstance(buffer, BlockArgument):
            return machine.read(self.board.output_address(buffer.index - len(self.board.inputs)), size)
        assert isinstance(space, StringAttr) and isinstance(buffer.owner, Operation)
        offset = buffer.owner.attributes[OFFSET]
        assert isinstance(offset, IntegerAttr)
        if not self.board.target.memory(space.data).host:
            return machine.read_local(space.data, offset.value.data, size)
        return machine.read(machine.symbol(arena_symbol(space.data))[0] + offset.value.data, size)

    def compare_stored(self, stored: Mapping[str, Array]) -> None:
        """Against the tensors of a file, by ONNX name."""
        aliases = _aliases(self.seen, self.board)
        if not aliases.keys() & stored.keys():
            raise HtvmError(f"none of the stored layers is a kernel's result; names there are: {', '.join(aliases)}")
        for name, value in stored.items():
            if name in aliases:
                self._count(name, aliases[name], value, "the stored layer")
            else:
                self.counts.layers_skipped += 1

    def _count(self, name: str, got: Array, whole: Array, what: str) -> None:
        self._compare(name, got, kept_part(whole, self.kept.get(name)), what)

    def _compare(self, name: str, got: Array, expected: Array, what: str) -> None:
        self.counts.layers_checked += 1
        wrong = expected.size if got.shape != expected.shape else int((got != expected).sum())
        if wrong:
            self.counts.layer_mismatches += 1
            self.counts.note(f"layer '{name}': {wrong} of {expected.size} values differ from {what}")

    @staticmethod
    def _name(function: FuncOp) -> str:
        name = function.attributes.get(NAME)
        return name.data if isinstance(name, StringAttr) else ""


def _as_named(function: FuncOp, stored: Array) -> Array:
    """The tensor a kernel computes as the model has it: ``orient-maps`` may have turned it."""
    axes = function.attributes.get(TURNED)
    stored = stored[..., ::-1] if MIRRORED in function.attributes else stored
    return stored.transpose(np.argsort(values(axes))) if is_integers(axes) else stored


def _as_stored(function: FuncOp, named: Array) -> Array:
    """A tensor of the model as ``orient-maps`` has turned it; inverse of :func:`_as_named`."""
    axes = function.attributes.get(TURNED)
    turned = named.transpose(values(axes)) if is_integers(axes) else named
    return turned[..., ::-1] if MIRRORED in function.attributes else turned


def _first_row(function: FuncOp) -> int | None:
    """Where in its tensor a strip begins; None for kernels that compute all of it."""
    first = function.attributes.get(FIRST_ROW)
    return first.value.data if isinstance(first, IntegerAttr) else None


def _aliases(seen: Mapping[str, Array], board: Board) -> dict[str, Array]:
    """The seen tensors under every name of the edges they stand for."""
    named = dict(seen)
    for edge in (*board.inputs, *board.outputs):
        held = next((seen[name] for name in edge.names if name in seen), None)
        if held is not None:
            named.update(dict.fromkeys(edge.names, held))
    return named
