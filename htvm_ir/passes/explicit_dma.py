"""``explicit-dma``: unroll every nest into the transfers and jobs it stands for, each with a token.

Tiles that stay the same from one step to the next are not loaded again, unless ``reload`` asks for it. Nothing overlaps
yet; ``pipeline-dma`` moves the starts and waits apart where the hardware can profit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from xdsl.context import Context
from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import (
    BytesAttr,
    DenseIntOrFPElementsAttr,
    MemRefType,
    ModuleOp,
    NoneAttr,
    StridedLayoutAttr,
    StringAttr,
    TensorType,
    UnitAttr,
    i8,
)
from xdsl.dialects.func import FuncOp
from xdsl.dialects.memref import AllocOp, GetGlobalOp, GlobalOp, ReinterpretCastOp, SubviewOp
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from htvm_ir.dialects.accel import AwaitOp, LaunchOp
from htvm_ir.dialects.attributes import values
from htvm_ir.dialects.dma import StartOp, WaitOp
from htvm_ir.dialects.tiled import NestOp
from htvm_ir.errors import HtvmError
from htvm_ir.passes.constants import constant_array
from htvm_ir.passes.workloads import (
    block_workload,
    kernel_types,
    layout_of,
    module_target,
    resident_bytes,
    tensor_of,
    window_of,
)
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.target import Engine, Target
from htvm_ir.targets.workload import Tile, Workload, tile_workload, tiles

Box = tuple[tuple[int, int], ...]
"""Offset and size along each stored axis."""


@dataclass(frozen=True)
class ExplicitDma(ModulePass):
    """Lowers ``tiled.nest`` on buffers to ``dma``, ``accel.launch`` and ``accel.await``.

    ``reload``: every job loads its input tiles, as in HTVM.
    """

    name = "explicit-dma"
    reload: bool = False

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target = module_target(op)
        for nest in [inner for inner in op.walk() if isinstance(inner, NestOp)]:
            function = nest.parent_op()
            if not nest.outputs or not isinstance(function, FuncOp):
                raise HtvmError(f"kernel '{nest.kernel.data}' works on tensors; run bufferize first")
            _Lowering(nest, function, target, self.reload).run()


def stored_box(layout: Layout, shape: Sequence[int], spans: Sequence[tuple[int, int]]) -> Box:
    """The stored part that holds a range of each logical axis; whole axes bring their padding along.

    Raises:
        HtvmError: the range cuts a group of permuted or padded elements.
    """
    box: list[tuple[int, int]] = []
    stored = layout.stored_shape(shape)
    for position, axis in enumerate(layout.order):
        (start, size), multiple = spans[axis], layout.multiple[axis]
        if (start, size) == (0, shape[axis]):
            box.append((0, stored[position]))
            continue
        last = start + size == shape[axis]
        group = max(multiple, layout.xor + 1 if position == len(stored) - 1 else 1)
        if start % group or (size % group and not last):
            raise HtvmError(f"a tile cuts axis {axis} at {start}, inside a group of {group} elements")
        box.append((start, min(-(-size // multiple) * multiple, stored[position] - start)))
    return tuple(box)


@dataclass
class _Slots:
    """The local buffers of one operand: tiles take them in turn; what the last tile held is remembered."""

    buffers: list[SSAValue]
    turn: int = 0
    holds: Box | None = None
    view: SSAValue | None = None

    def advance(self) -> SSAValue:
        buffer = self.buffers[self.turn % len(self.buffers)]
        self.turn += 1
        return buffer


class _Lowering:
    """One nest."""

    def __init__(self, nest: NestOp, function: FuncOp, target: Target, reload: bool):
        self.nest, self.function, self.target, self.reload = nest, function, target, reload
        self.engine: Engine = target.engine(nest.engine_name)
        self.types = kernel_types(function)
        self.windows = [window_of(attribute) for attribute in nest.windows]
        self.workload = _whole_workload(nest, self.types)
        self.sources = [*nest.inputs[: nest.activations], *nest.outputs]
        self.resident = frozenset(resident_bytes(nest))

    def run(self) -> None:
        grid = self.nest.grid
        steps = tiles(grid.extent, grid.size, grid.dimensions)
        parts = [tile_workload(self.workload, tile) for tile in steps]
        slots = self._slots(parts)
        packed = self._packed()
        for tile, part in zip(steps, parts, strict=True):
            self._tile(tile, part, slots, packed)
        constants = [v.owner for v in self.nest.inputs[self.nest.activations :]]
        Rewriter.erase_op(self.nest)
        for constant in constants:
            assert isinstance(constant, ConstantOp)
            Rewriter.erase_op(constant)

    def _insert(self, op: Operation) -> None:
        Rewriter.insert_op(op, InsertPoint.before(self.nest))

    def _slots(self, parts: Sequence[Workload]) -> list[_Slots]:
        """Local buffers, each large enough for every tile; none for what is in local memory as a whole."""
        sizes = [max(column) for column in zip(*(self.engine.local_bytes(p) for p in parts), strict=True)]
        slots: list[_Slots] = []
        for index, (size, depth) in enumerate(zip(sizes, values(self.nest.buffers), strict=True)):
            if index in self.resident:
                slots.append(_Slots([]))
                continue
            type_ = MemRefType(i8, [size], NoneAttr(), StringAttr(self.engine.local))
            allocs = [AllocOp([], [], type_) for _ in range(depth)]
            for alloc in allocs:
                self._insert(alloc)
            slots.append(_Slots([alloc.memref for alloc in allocs]))
        return slots

    def _packed(self) -> SSAValue | None:
        """The engine's constants as a global next to the function."""
        data = self.engine.pack(self.workload)
        if not data.size:
            return None
        name = f"{self.function.sym_name.data}_constants"
        type_ = MemRefType(i8, [data.size], NoneAttr(), StringAttr(self.engine.constants))
        initial = DenseIntOrFPElementsAttr(TensorType(i8, [data.size]), BytesAttr(data.tobytes()))
        Rewriter.insert_op(_global(name, type_, initial), InsertPoint.before(self.function))
        get = GetGlobalOp(name, type_)
        self._insert(get)
        return get.memref

    def _tile(self, tile: Tile, part: Workload, slots: list[_Slots], packed: SSAValue | None) -> None:
        inputs: list[SSAValue] = []
        for index in range(self.nest.activations):
            box = self._box(index, tile)
            if index in self.resident:
                slots[index].view = self._in_place(index, box, part)
            elif self.reload or box != slots[index].holds:
                self._load(index, box, slots[index], part)
            view = slots[index].view
            assert view is not None
            inputs.append(view)
        stays = self.nest.activations in self.resident
        where = self._box(-1, tile)
        output = self._in_place(-1, where, part) if stays else slots[-1].advance()
        job = self.engine.job(part)
        launch = LaunchOp(self.engine.name, job.kernel, inputs, self._constants(packed, tile), output, job.fields)
        self._insert(launch)
        self._insert(AwaitOp(launch.token))
        if not stays:
            self._store(where, output, part)

    def _box(self, index: int, tile: Tile) -> Box:
        """The stored part of an operand that a tile touches."""
        shape = self.types[index].get_shape()
        spans = [w.span(tile, n)[:2] for w, n in zip(self.windows[index], shape, strict=True)]
        return stored_box(layout_of(self.types[index]), shape, spans)

    def _in_place(self, index: int, box: Box, part: Workload) -> SSAValue:
        """The bytes of a tile, and what its job may write behind it, in a buffer that holds the whole operand.

        Raises:
            HtvmError: the tile is not contiguous there, or the buffer is too small.
        """
        type_, buffer = self.types[index], self.sources[index]
        assert isinstance(buffer.type, MemRefType)
        stored, (size,) = layout_of(type_).stored_shape(type_.get_shape()), buffer.type.get_shape()
        if prod(stored) > size:
            raise HtvmError(f"kernel '{self.nest.kernel.data}': operand {index} is larger than its {size} bytes")
        cut = next((axis for axis, (_, n) in enumerate(box) if n > 1), 0) + 1
        if any(n != whole for (_, n), whole in zip(box[cut:], stored[cut:], strict=True)):
            raise HtvmError(f"kernel '{self.nest.kernel.data}': tiles of resident operand {index} are not contiguous")
        offset = sum(start * prod(stored[axis + 1 :]) for axis, (start, _) in enumerate(box))
        return self._view(buffer, ((offset, min(self.engine.local_bytes(part)[index], size - offset)),))

    def _load(self, index: int, box: Box, slot: _Slots, part: Workload) -> None:
        source = self._view(self.sources[index], box)
        slot.view = slot.advance()
        slot.holds = box
        self._transfer(self.engine.load, source, self._local(slot.view, box, part, index))

    def _store(self, box: Box, buffer: SSAValue, part: Workload) -> None:
        destination = self._view(self.sources[-1], box)
        self._transfer(self.engine.store, self._local(buffer, box, part, -1), destination)

    def _transfer(self, channel: str, source: SSAValue, destination: SSAValue) -> None:
        start = StartOp(channel, source, destination)
        self._insert(start)
        self._insert(WaitOp(start.token))

    def _constants(self, packed: SSAValue | None, tile: Tile) -> SSAValue | None:
        if packed is None:
            return None
        offset, size = self.engine.packed_range(self.workload, tile)
        return self._view(packed, ((offset, size),))

    def _local(self, buffer: SSAValue, box: Box, part: Workload, index: int) -> SSAValue:
        """The part of a local buffer that a transfer fills or drains, in its order."""
        loops = self.engine.local_loops(part, index)
        if loops is None:
            return self._view(buffer, ((0, prod(size for _, size in box)),))
        sizes, strides = [count for count, _ in loops], [stride for _, stride in loops]
        assert isinstance(buffer.type, MemRefType)
        type_ = MemRefType(i8, sizes, StridedLayoutAttr(strides), buffer.type.memory_space)
        view = ReinterpretCastOp.from_dynamic(buffer, [0], sizes, strides, type_)
        self._insert(view)
        return view.result

    def _view(self, buffer: SSAValue, box: Box) -> SSAValue:
        """The part of a buffer, the buffer itself if that is all of it."""
        type_ = buffer.type
        assert isinstance(type_, MemRefType)
        offsets, sizes = [o for o, _ in box], [s for _, s in box]
        if tuple(sizes) == type_.get_shape():
            return buffer
        ones = [1] * len(box)
        result = SubviewOp.infer_result_type(type_, offsets, sizes, ones)
        view = SubviewOp.get(buffer, offsets, sizes, ones, result)
        self._insert(view)
        return view.result


def _global(name: str, type_: MemRefType[Attribute], initial: Attribute) -> GlobalOp:
    return GlobalOp.get(StringAttr(name), type_, initial, sym_visibility=StringAttr("private"), constant=UnitAttr())


def _whole_workload(nest: NestOp, types: Sequence[TensorType[Attribute]]) -> Workload:
    """The workload of the whole nest: that of its body with whole operands and the padding of the windows."""
    inputs, output = [tensor_of(t) for t in types[: nest.activations]], tensor_of(types[-1])
    weights, bias = [*(constant_array(v) for v in nest.inputs[nest.activations :]), None, None][:2]
    tile = block_workload(nest.body.block)
    mapping = nest.mapping_name
    whole = replace(tile, inputs=tuple(inputs), output=output, weights=weights, bias=bias, mapping=mapping)
    if tile.kind != "conv2d" or weights is None:
        return whole
    if tile.groups > 1:
        whole = replace(whole, groups=inputs[0].shape[1] // int(weights.shape[1]))
    rows = window_of(nest.windows.data[0])[2]
    if rows.dimension is None:
        return whole
    top, left, _, right = -rows.offset, whole.pads[1], 0, whole.pads[3]
    bottom = (output.shape[2] - 1) * rows.stride + rows.extent - top - inputs[0].shape[2]
    return replace(whole, pads=(top, left, max(0, bottom), right))
