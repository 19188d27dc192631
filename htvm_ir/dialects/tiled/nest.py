"""The op that computes tile by tile, and what ends its body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import (
    ArrayAttr,
    FlatSymbolRefAttrConstr,
    IntegerAttr,
    MemRefType,
    StringAttr,
    SymbolRefAttr,
    TensorType,
)
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_op_definition,
    lazy_traits_def,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import HasParent, IsolatedFromAbove, IsTerminator, Pure, RecursiveMemoryEffect
from xdsl.utils.exceptions import VerifyException

from htvm_ir.dialects.accel import verify_operands_match
from htvm_ir.dialects.attributes import IntegerList, Integers, integer, integers, values
from htvm_ir.dialects.tiled.grid import GridAttr, WindowAttr


@irdl_op_definition
class YieldOp(IRDLOperation):
    """The tile a nest's body computes."""

    name = "tiled.yield"
    values = var_operand_def(TensorType)
    traits = lazy_traits_def(lambda: (IsTerminator(), HasParent(NestOp), Pure()))
    assembly_format = "$values attr-dict `:` type($values)"

    def __init__(self, *values: SSAValue):
        super().__init__(operands=[values])


@irdl_op_definition
class NestOp(IRDLOperation):
    """Computes the output tile by tile on ``engine``.

    For each tile of ``grid``, in order, the body runs on the windows of the inputs (outside, zero or the zero point of
    the convolution that reads it) and its result is the tile of the output that the last window names. The body is
    typed for a full interior tile. ``inputs`` are ``activations`` tensors the tiles of which are brought to the
    engine's local memory, then constants. ``buffers``: how many tiles of each activation (inputs, then the output) have
    room there at one time; ``constants``: how many of the constants, 1 if absent, where the engine has a local memory
    for them. ``mapping``: the engine's name for how it computes the tiles, where it has several ways.
    On tensors it has a result; after bufferisation it writes ``outputs``.
    """

    name = "tiled.nest"
    inputs = var_operand_def()
    outputs = var_operand_def(MemRefType)
    engine = prop_def(FlatSymbolRefAttrConstr)
    kernel = prop_def(StringAttr)
    grid = prop_def(GridAttr)
    windows = prop_def(ArrayAttr[WindowAttr])
    buffers = prop_def(Integers)
    mapping = opt_prop_def(StringAttr)
    constant_buffers = opt_prop_def(IntegerAttr)
    body = region_def("single_block")
    results_ = var_result_def(TensorType)
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(IsolatedFromAbove(), RecursiveMemoryEffect())
    assembly_format = (
        "$engine $kernel `grid` $grid `windows` $windows `buffers` custom<IntegerList>($buffers)"
        " (`mapping` $mapping^)?"
        " (`constants` $constant_buffers^)?"
        " `ins` `(` $inputs `:` type($inputs) `)` (`outs` `(` $outputs^ `:` type($outputs) `)`)?"
        " attr-dict-with-keyword $body (`->` type($results_)^)?"
    )
    custom_directives = (IntegerList,)

    def __init__(
        self,
        engine: str,
        kernel: str,
        grid: GridAttr,
        windows: Sequence[WindowAttr],
        buffers: Sequence[int],
        inputs: Sequence[SSAValue],
        body: Region | Block,
        results: Sequence[Attribute] = (),
        outputs: Sequence[SSAValue] = (),
        attributes: Mapping[str, Attribute] | None = None,
        mapping: str = "",
        constant_buffers: int = 1,
    ):
        super().__init__(
            operands=[inputs, outputs],
            properties={
                "constant_buffers": integer(constant_buffers) if constant_buffers > 1 else None,
                "engine": SymbolRefAttr(engine),
                "kernel": StringAttr(kernel),
                "grid": grid,
                "windows": ArrayAttr(windows),
                "buffers": integers(buffers),
                "mapping": StringAttr(mapping) if mapping else None,
            },
            regions=[body if isinstance(body, Region) else Region(body)],
            result_types=[results],
            attributes=dict(attributes or {}),
        )

    @property
    def engine_name(self) -> str:
        """The engine without the ``@``."""
        return self.engine.string_value()

    @property
    def mapping_name(self) -> str:
        """The mapping, '' for the engine's usual one."""
        return "" if self.mapping is None else self.mapping.data

    @property
    def activations(self) -> int:
        """How many of the inputs are activations; the others are constants."""
        return len(values(self.buffers)) - 1

    @property
    def constant_depth(self) -> int:
        """How many tiles of the constants have a buffer."""
        return 1 if self.constant_buffers is None else self.constant_buffers.value.data

    @property
    def yielded(self) -> tuple[SSAValue, ...]:
        """The values the body yields."""
        last = self.body.block.last_op
        assert isinstance(last, YieldOp)
        return tuple(last.values)

    def verify_(self) -> None:
        last = self.body.block.last_op
        if not isinstance(last, YieldOp) or len(last.values) != 1:
            raise VerifyException("the body must end with tiled.yield of one value")
        verify_operands_match(self.inputs, self.outputs, self.results_, self.body.block.args)
        if len(self.outputs) + len(self.results_) != 1:
            raise VerifyException("a nest has one output")
        if len(self.windows) != len(self.inputs) + 1:
            raise VerifyException(
                f"{len(self.inputs)} inputs and one output need {len(self.inputs) + 1} windows, got {len(self.windows)}"
            )
        if not 1 <= self.activations <= len(self.inputs):
            raise VerifyException(f"buffers name {self.activations} activations of {len(self.inputs)}")
        if any(depth < 1 for depth in (*values(self.buffers), self.constant_depth)):
            raise VerifyException("every operand needs at least one buffer")
        self._verify_windows(last)

    def _verify_windows(self, last: YieldOp) -> None:
        full = self.grid.size
        tiles = (*self.body.block.args, *last.values)
        wholes = (*self.inputs, *self.outputs, *self.results_)
        for index, (window, whole, value) in enumerate(zip(self.windows, wholes, tiles, strict=True)):
            assert isinstance(value.type, TensorType)
            shape = value.type.get_shape()
            if len(window.axes) != len(shape):
                raise VerifyException(f"window {index} has {len(window.axes)} axes, not {len(shape)}")
            if isinstance(whole.type, TensorType):
                _verify_operand(index, window, whole.type, value.type)
            for axis, (name, stride, _, extent) in enumerate(window.axes):
                if name is None:
                    continue
                if name not in full:
                    raise VerifyException(f"window {index} names '{name}', which the grid lacks")
                size = (full[name] - 1) * stride + extent
                if size != shape[axis]:
                    raise VerifyException(
                        f"window {index} spans {size} elements of axis {axis}, the body takes {shape[axis]}"
                    )


def _verify_operand(index: int, window: WindowAttr, whole: TensorType[Attribute], tile: TensorType[Attribute]) -> None:
    """A tile has the rank, the element type and, along untiled axes, the extents of the operand it is cut from."""
    if whole.element_type != tile.element_type or whole.get_num_dims() != tile.get_num_dims():
        raise VerifyException(f"operand {index} is {whole}, its tile is {tile}")
    extents = zip(window.axes, whole.get_shape(), tile.get_shape(), strict=True)
    for axis, ((name, *_), extent, part) in enumerate(extents):
        if name is None and extent != part:
            raise VerifyException(
                f"window {index} is the whole axis {axis} of {extent} elements, the body takes {part}"
            )
