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

from htvm_ir.dialects.accel import AwaitOp, LaunchOp, PrepareOp
from htvm_ir.dialects.attributes import values
from htvm_ir.dialects.dma import StartOp, WaitOp
from htvm_ir.dialects.tiled import NestOp
from htvm_ir.errors import HtvmError
from htvm_ir.passes import in_place
from htvm_ir.passes.constants import constant_array
from htvm_ir.passes.views import Box, stored_box
from htvm_ir.passes.workloads import (
    block_workload,
    kernel_types,
    layout_of,
    module_target,
    resident_bytes,
    tensor_of,
    window_of,
)
from htvm_ir.targets.target import Engine, Target
from htvm_ir.targets.workload import Tile, Workload, tile_workload, tiles


@dataclass(frozen=True)
class ExplicitDma(ModulePass):
    """Lowers ``tiled.nest`` on buffers to ``dma``, ``accel.launch`` and ``accel.await``.

    ``reload``: every job loads its input tiles, as in HTVM.
    """

    name = "explicit-dma"
    reload: bool = False

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        target, shared = module_target(op), dict[tuple[str, bytes], str]()
        for nest in [inner for inner in op.walk() if isinstance(inner, NestOp)]:
            function = nest.parent_op()
            if not nest.outputs or not isinstance(function, FuncOp):
                raise HtvmError(f"kernel '{nest.kernel.data}' works on tensors; run bufferize first")
            _Lowering(nest, function, target, self.reload, shared).run()


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
    """One nest. shared: the first kernel that has some bytes of constants in a memory; equal ones are stored once."""

    def __init__(
        self, nest: NestOp, function: FuncOp, target: Target, reload: bool, shared: dict[tuple[str, bytes], str]
    ):
        self.nest, self.function, self.target, self.reload, self.shared = nest, function, target, reload, shared
        self.engine: Engine = target.engine(nest.engine_name)
        self.types = kernel_types(function)
        self.windows = [window_of(attribute) for attribute in nest.windows]
        self.workload = _whole_workload(nest, self.types)
        self.sources = [*nest.inputs[: nest.activations], *nest.outputs]
        self.resident = frozenset(resident_bytes(nest))
        moved = [depth for index, depth in enumerate(values(nest.buffers)) if index not in self.resident]
        self.loads, self.stores = self.engine.channels(max([*moved, nest.constant_depth]) > 1)

    def run(self) -> None:
        grid = self.nest.grid
        steps = tiles(grid.extent, grid.size, grid.dimensions)
        parts = [tile_workload(self.workload, tile) for tile in steps]
        slots = self._slots(parts)
        packed = self._packed()
        local = self._constant_slots(steps, packed)
        for tile, part in zip(steps, parts, strict=True):
            self._tile(tile, part, slots, packed, local)
        in_place.allow(self.function, sorted(self._overwritable(steps, parts)))
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
        types = [*self.types[: self.nest.activations], self.types[-1]]
        slots: list[_Slots] = []
        for index, (size, depth, type_) in enumerate(zip(sizes, values(self.nest.buffers), types, strict=True)):
            stays = index in self.resident
            slots.append(_Slots([]) if stays else self._buffers(self.engine.local, size, depth, type_.element_type))
        return slots

    def _constant_slots(self, steps: Sequence[Tile], packed: SSAValue | None) -> _Slots | None:
        """Local buffers for the constants of a tile, where the engine does not stream them itself."""
        if packed is None or not self.engine.constants_local:
            return None
        size = max(self.engine.packed_range(self.workload, tile)[1] for tile in steps)
        return self._buffers(self.engine.constants_local, size, self.nest.constant_depth)

    def _buffers(self, memory: str, size: int, depth: int, element: Attribute = i8) -> _Slots:
        type_ = MemRefType(element, [size], NoneAttr(), StringAttr(memory))
        allocs = [AllocOp([], [], type_) for _ in range(depth)]
        for alloc in allocs:
            self._insert(alloc)
        return _Slots([alloc.memref for alloc in allocs])

    def _packed(self) -> SSAValue | None:
        """The engine's constants as a global next to the function."""
        data = self.engine.pack(self.workload)
        if not data.size:
            return None
        type_ = MemRefType(i8, [data.size], NoneAttr(), StringAttr(self.engine.constants))
        constants = self.shared.setdefault((self.engine.constants, data.tobytes()), self.function.sym_name.data)
        name = f"{constants}_constants"
        if constants == self.function.sym_name.data:
            initial = DenseIntOrFPElementsAttr(TensorType(i8, [data.size]), BytesAttr(data.tobytes()))
            Rewriter.insert_op(_global(name, type_, initial), InsertPoint.before(self.function))
        get = GetGlobalOp(name, type_)
        self._insert(get)
        return get.memref

    def _tile(
        self, tile: Tile, part: Workload, slots: list[_Slots], packed: SSAValue | None, local: _Slots | None
    ) -> None:
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
        constants = self._constants(packed, local, tile)
        prepared = None
        if self.engine.preparation(job) is not None:
            prepare = PrepareOp(self.engine.name, job.kernel, inputs, output, job.fields)
            self._insert(prepare)
            prepared = prepare.prepared
        launch = LaunchOp(self.engine.name, job.kernel, inputs, constants, output, job.fields, prepared)
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
        """The bytes of a tile in a buffer that holds the whole operand, with the gaps that the engine counts; of a
        result also what the job may write besides.

        Raises:
            HtvmError: the tile has gaps there that the engine does not count, or the buffer is too small.
        """
        type_, buffer = self.types[index], self.sources[index]
        assert isinstance(buffer.type, MemRefType)
        stored, (size,) = layout_of(type_).stored_shape(type_.get_shape()), buffer.type.get_shape()
        if prod(stored) > size:
            raise HtvmError(f"kernel '{self.nest.kernel.data}': operand {index} is larger than its {size} bytes")
        strides = [prod(stored[axis + 1 :]) for axis in range(len(stored))]
        span = 1 + sum((n - 1) * stride for (_, n), stride in zip(box, strides, strict=True))
        wanted = self._counted(index, box, part)
        if wanted < span:
            raise HtvmError(
                f"kernel '{self.nest.kernel.data}': tiles of resident operand {index} have gaps, which engine "
                f"'{self.engine.name}' does not take; cut it along its outermost axis only"
            )
        offset = sum(start * stride for (start, _), stride in zip(box, strides, strict=True))
        return self._view(buffer, ((offset, min(wanted, size - offset)),))

    def _counted(self, index: int, box: Box, part: Workload) -> int:
        """Bytes that a job takes for a tile of a resident operand: gaps included, of a result all that it may write."""
        counted = self.engine.local_bytes(part)[index]
        if index < 0:
            return counted
        return prod(n for _, n in box) + counted - self.engine.local_bytes(replace(part, whole=()))[index]

    def _overwritable(self, steps: Sequence[Tile], parts: Sequence[Workload]) -> frozenset[int]:
        """The resident inputs over which every job may write its part of a resident output, at the same place."""
        if self.nest.activations not in self.resident:
            return frozenset()
        may = self.resident - {self.nest.activations}
        for tile, part in zip(steps, parts, strict=True):
            where = self._box(-1, tile)
            may &= self.engine.overwrites(self.engine.job(part))
            may &= {index for index in may if self._box(index, tile) == where}
        return may

    def _load(self, index: int, box: Box, slot: _Slots, part: Workload) -> None:
        source = self._view(self.sources[index], box)
        slot.view = slot.advance()
        slot.holds = box
        self._transfer(self.loads, source, self._local(slot.view, box, part, index))

    def _store(self, box: Box, buffer: SSAValue, part: Workload) -> None:
        destination = self._view(self.sources[-1], box)
        self._transfer(self.stores, self._local(buffer, box, part, -1), destination)

    def _transfer(self, channel: str, source: SSAValue, destination: SSAValue) -> None:
        start = StartOp(channel, source, destination)
        self._insert(start)
        self._insert(WaitOp(start.token))

    def _constants(self, packed: SSAValue | None, local: _Slots | None, tile: Tile) -> SSAValue | None:
        """The constants a tile's job reads: where they lie packed, or in a local buffer that holds them now."""
        if packed is None:
            return None
        offset, size = self.engine.packed_range(self.workload, tile)
        box = ((offset, size),)
        if local is None:
            return self._view(packed, box)
        if box != local.holds:
            source = self._view(packed, box)
            local.view, local.holds = self._view(local.advance(), ((0, size),)), box
            self._transfer(self.engine.load_constants, source, local.view)
        return local.view

    def _local(self, buffer: SSAValue, box: Box, part: Workload, index: int) -> SSAValue:
        """The part of a local buffer that a transfer fills or drains, in its order."""
        loops = self.engine.local_loops(part, index)
        if loops is None:
            return self._view(buffer, ((0, prod(size for _, size in box)),))
        sizes, strides = [count for count, _ in loops], [stride for _, stride in loops]
        assert isinstance(buffer.type, MemRefType)
        type_ = MemRefType(buffer.type.element_type, sizes, StridedLayoutAttr(strides), buffer.type.memory_space)
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
    whole = replace(whole, resident=frozenset(resident_bytes(nest)))
    if tile.kind != "conv2d" or weights is None:
        return whole
    # A tile of one channel of a depthwise convolution is an ordinary one: only the weights tell.
    whole = replace(whole, groups=inputs[0].shape[1] // int(weights.shape[1]))
    rows = window_of(nest.windows.data[0])[2]
    if rows.dimension is None:
        return whole
    top, left, _, right = -rows.offset, whole.pads[1], 0, whole.pads[3]
    bottom = (output.shape[2] - 1) * rows.stride + rows.extent - top - inputs[0].shape[2]
    return replace(whole, pads=(top, left, max(0, bottom), right))
