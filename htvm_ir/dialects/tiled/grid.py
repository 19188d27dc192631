"""Which tiles there are, and which part of each operand one touches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import ArrayAttr, IntAttr, StringAttr
from xdsl.ir import Attribute, ParametrizedAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException


def require_distinct(parser: AttrParser, names: Sequence[str]) -> None:
    """Fail where a list of dimensions names one twice."""
    for name in names:
        if names.count(name) > 1:
            parser.raise_error(f"dimension '{name}' is given twice")


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
        require_distinct(parser, [name for name, _, _ in entries])
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
