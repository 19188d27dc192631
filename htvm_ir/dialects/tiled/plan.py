"""A solved tiling, as passes and users write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import ArrayAttr, IntAttr, StringAttr
from xdsl.ir import Attribute, ParametrizedAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from htvm_ir.dialects.tiled.grid import require_distinct


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
            require_distinct(parser, [name for name, _ in entries])
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
