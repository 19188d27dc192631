"""``tiled``: a grid of tiles over named dimensions, with what ``scf.for`` cannot say.

Edge tiles, halo, padding per tile and buffering per operand are data here, so no dynamic shape leaks out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import (
    ArrayAttr,
    FlatSymbolRefAttrConstr,
    IntAttr,
    IntegerAttr,
    MemRefType,
    StringAttr,
    SymbolRefAttr,
    TensorType,
)
from xdsl.ir import Attribute, Block, Dialect, ParametrizedAttribute, Region, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    lazy_traits_def,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.traits import HasParent, IsolatedFromAbove, IsTerminator, Pure, RecursiveMemoryEffect
from xdsl.utils.exceptions import VerifyException

from htvm_ir.dialects.accel import verify_operands_match
from htvm_ir.dialects.attributes import IntegerList, Integers, integer, integers, values


def _require_distinct(parser: AttrParser, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            parser.raise_error(f"dimension '{name}' is given twice")


@irdl_attr_definition
class PlanAttr(ParametrizedAttribute):
    """A solved tiling: ``#tiled.plan<y = 12, k = 32 mapping wide buffers [2, 2] constants 2 latency 1234 proven>``.

    Dimensions outermost first with their tile sizes; the engine's name for how it computes them; how many tiles of
    each activation operand (inputs, then the output), and of the constants, have a buffer; predicted cycles of the
    nest; whether no better plan exists under the cost model. A hand-written plan may leave out all but the sizes;
    ``_`` in their place is one tile for all.
    """

    name = "tiled.plan"
    order: ArrayAttr[StringAttr]
    sizes: ArrayAttr[IntAttr]
    buffers: ArrayAttr[IntAttr]
    constant_buffers: IntAttr
    latency: IntAttr
    proven: IntAttr
    mapping: StringAttr

    def __init__(
        self,
        sizes: Mapping[str, int],
        buffers: Sequence[int] = (),
        latency: int = 0,
        proven: bool = False,
        mapping: str = "",
        constant_buffers: int = 1,
    ):
        super().__init__(
            ArrayAttr([StringAttr(name) for name in sizes]),
            ArrayAttr([IntAttr(size) for size in sizes.values()]),
            ArrayAttr([IntAttr(depth) for depth in buffers]),
            IntAttr(constant_buffers),
            IntAttr(latency),
            IntAttr(int(proven)),
            StringAttr(mapping),
        )

    @property
    def tile(self) -> dict[str, int]:
        """Tile size by dimension, outermost loop first."""
        return {n.data: s.data for n, s in zip(self.order, self.sizes, strict=True)}

    @property
    def depths(self) -> tuple[int, ...]:
        """Buffers per activation operand; empty = one each."""
        return tuple(d.data for d in self.buffers)

    def verify(self) -> None:
        if self.mapping.data and not (self.mapping.data.isidentifier() and self.mapping.data.isascii()):
            raise VerifyException(f"a mapping must be an identifier, got '{self.mapping.data}'")
        if not all(name.isidentifier() and name.isascii() and name != "_" for name in self.tile):
            raise VerifyException(f"dimensions must be named by identifiers other than '_', got {list(self.tile)}")
        if any(size < 1 for size in self.tile.values()):
            raise VerifyException(f"tile sizes must be positive, got {self.tile}")
        if any(depth < 1 for depth in self.depths):
            raise VerifyException(f"every operand needs a buffer, got {list(self.depths)}")
        if self.constant_buffers.data < 1:
            raise VerifyException(f"constants need a buffer, got {self.constant_buffers.data}")

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> list[Attribute]:
        def entry() -> tuple[str, int]:
            name = parser.parse_identifier()
            parser.parse_punctuation("=")
            return name, parser.parse_integer(allow_boolean=False)

        with parser.in_angle_brackets():
            entries: list[tuple[str, int]] = []
            if not parser.parse_optional_keyword("_"):
                entries = parser.parse_comma_separated_list(parser.Delimiter.NONE, entry)
            _require_distinct(parser, [name for name, _ in entries])
            sizes = dict(entries)
            mapping = parser.parse_identifier() if parser.parse_optional_keyword("mapping") else ""
            buffers: list[int] = []
            if parser.parse_optional_keyword("buffers"):
                buffers = parser.parse_comma_separated_list(
                    parser.Delimiter.SQUARE, lambda: parser.parse_integer(allow_boolean=False)
                )
            constants = 1
            if parser.parse_optional_keyword("constants"):
                constants = parser.parse_integer(allow_boolean=False)
            latency = 0
            if parser.parse_optional_keyword("latency"):
                latency = parser.parse_integer(allow_boolean=False)
            proven = parser.parse_optional_keyword("proven") is not None
        return list(cls(sizes, buffers, latency, proven, mapping, constants).parameters)

    def print_parameters(self, printer: Printer) -> None:
        text = ", ".join(f"{name} = {size}" for name, size in self.tile.items()) or "_"
        if self.mapping.data:
            text += f" mapping {self.mapping.data}"
        if self.depths:
            text += f" buffers {list(self.depths)}"
        if self.constant_buffers.data > 1:
            text += f" constants {self.constant_buffers.data}"
        if self.latency.data:
            text += f" latency {self.latency.data}"
        if self.proven.data:
            text += " proven"
        printer.print_string(f"<{text}>")


@irdl_attr_definition
class GridAttr(ParametrizedAttribute):
    """Tiled dimensions, outermost loop first: ``#tiled.grid<y = 32 by 12, k = 64 by 16>``; none for a single tile.

    The last tile of a dimension is smaller where the size does not divide the extent.
    """

    name = "tiled.grid"
    names: ArrayAttr[StringAttr]
    extents: ArrayAttr[IntAttr]
    sizes: ArrayAttr[IntAttr]

    def __init__(self, extents: Mapping[str, int], sizes: Mapping[str, int]):
        super().__init__(
            ArrayAttr([StringAttr(name) for name in sizes]),
            ArrayAttr([IntAttr(extents[name]) for name in sizes]),
            ArrayAttr([IntAttr(size) for size in sizes.values()]),
        )

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names, outermost first."""
        return tuple(n.data for n in self.names)

    @property
    def extent(self) -> dict[str, int]:
        """Extent by dimension."""
        return {n.data: e.data for n, e in zip(self.names, self.extents, strict=True)}

    @property
    def size(self) -> dict[str, int]:
        """Tile size by dimension."""
        return {n.data: s.data for n, s in zip(self.names, self.sizes, strict=True)}

    def verify(self) -> None:
        for name, extent in self.extent.items():
            if not 1 <= self.size[name] <= extent:
                raise VerifyException(f"tile size {self.size[name]} of '{name}' must lie in 1 to {extent}")

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> list[Attribute]:
        def entry() -> tuple[str, int, int]:
            name = parser.parse_identifier()
            parser.parse_punctuation("=")
            extent = parser.parse_integer(allow_boolean=False)
            parser.parse_keyword("by")
            return name, extent, parser.parse_integer(allow_boolean=False)

        entries = parser.parse_comma_separated_list(parser.Delimiter.ANGLE, entry)
        _require_distinct(parser, [name for name, _, _ in entries])
        grid = cls({n: e for n, e, _ in entries}, {n: s for n, _, s in entries})
        return list(grid.parameters)

    def print_parameters(self, printer: Printer) -> None:
        entries = (f"{n} = {self.extent[n]} by {self.size[n]}" for n in self.dimensions)
        printer.print_string(f"<{', '.join(entries)}>")


@irdl_attr_definition
class WindowAttr(ParametrizedAttribute):
    """Which part of each axis of an operand a tile touches: ``#tiled.window<_, k, y * 2 - 1 : 3, _>``.

    ``_`` is the whole axis. ``d * s + o : e`` is, for a tile [a, b) of dimension d, the range
    [a * s + o, (b - 1) * s + o + e); what lies outside the axis reads as zero. Defaults: s = 1, o = 0, e = 1.
    """

    name = "tiled.window"
    dimensions: ArrayAttr[StringAttr]
    strides: ArrayAttr[IntAttr]
    offsets: ArrayAttr[IntAttr]
    extents: ArrayAttr[IntAttr]

    def __init__(self, axes: Sequence[tuple[str | None, int, int, int]]):
        super().__init__(
            ArrayAttr([StringAttr(name or "") for name, _, _, _ in axes]),
            ArrayAttr([IntAttr(stride) for _, stride, _, _ in axes]),
            ArrayAttr([IntAttr(offset) for _, _, offset, _ in axes]),
            ArrayAttr([IntAttr(extent) for _, _, _, extent in axes]),
        )

    @property
    def axes(self) -> tuple[tuple[str | None, int, int, int], ...]:
        """(dimension or None, stride, offset, extent) of each axis."""
        rows = zip(self.dimensions, self.strides, self.offsets, self.extents, strict=True)
        return tuple((n.data or None, s.data, o.data, e.data) for n, s, o, e in rows)

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> list[Attribute]:
        def axis() -> tuple[str | None, int, int, int]:
            name = parser.parse_identifier()
            if name == "_":
                return None, 1, 0, 1
            stride = offset = 0
            stride = parser.parse_integer() if parser.parse_optional_punctuation("*") else 1
            if parser.parse_optional_punctuation("+"):
                offset = parser.parse_integer()
            elif parser.parse_optional_punctuation("-"):
                offset = -parser.parse_integer()
            extent = parser.parse_integer() if parser.parse_optional_punctuation(":") else 1
            return name, stride, offset, extent

        with parser.in_angle_brackets():
            axes = parser.parse_comma_separated_list(parser.Delimiter.NONE, axis)
        return list(cls(axes).parameters)

    def print_parameters(self, printer: Printer) -> None:
        def axis(name: str | None, stride: int, offset: int, extent: int) -> str:
            if name is None:
                return "_"
            text = name if stride == 1 else f"{name} * {stride}"
            if offset:
                text += f" + {offset}" if offset > 0 else f" - {-offset}"
            return text if extent == 1 else f"{text} : {extent}"

        printer.print_string(f"<{', '.join(axis(*a) for a in self.axes)}>")


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


Tiled = Dialect("tiled", [NestOp, YieldOp], [PlanAttr, GridAttr, WindowAttr])
