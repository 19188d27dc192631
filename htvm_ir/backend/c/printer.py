"""The body of a function as C: one statement for each op; an op without a C form is an error that names it.

Constants, views without offset and addresses that are known numbers need no statement: they are what their uses print.
Right shifts of negative numbers are arithmetic in the IR; C leaves that to the compiler, and every one does it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import singledispatchmethod

from xdsl.dialects import arith, func, memref, scf
from xdsl.dialects.builtin import DYNAMIC_INDEX, FloatAttr, IntegerAttr, IntegerType, i1, i32
from xdsl.ir import Attribute, BlockArgument, Operation, SSAValue

from htvm_ir.backend.c import engines
from htvm_ir.backend.c.names import KEYWORDS, Names
from htvm_ir.backend.c.scope import CFile
from htvm_ir.backend.c.signature import local_offset
from htvm_ir.backend.c.tokens import is_token
from htvm_ir.backend.c.types import c_type, element_bytes, memory_space, memref_type, strides_of
from htvm_ir.dialects import accel, dma
from htvm_ir.dialects.attributes import is_integers
from htvm_ir.dialects.external import ExternalOp
from htvm_ir.errors import HtvmError

OFFSET = "accel.offset"
"""Attribute of an alloc: bytes from the start of its memory."""

OPERATORS: dict[type[Operation], str] = {
    arith.AddiOp: "+",
    arith.SubiOp: "-",
    arith.MuliOp: "*",
    arith.DivSIOp: "/",
    arith.RemSIOp: "%",
    arith.AndIOp: "&",
    arith.OrIOp: "|",
    arith.XOrIOp: "^",
    arith.ShRSIOp: ">>",
}
UNSIGNED_OPERATORS: dict[type[Operation], str] = {
    arith.DivUIOp: "/",
    arith.RemUIOp: "%",
    arith.ShLIOp: "<<",
    arith.ShRUIOp: ">>",
}
"""Ops that C defines for unsigned operands only, or differently for signed ones."""

WORD_TYPE = "word_t"
WORD_TYPEDEF = (
    "// Four bytes of a buffer, the first in the lowest bits; every buffer is aligned to them.\n"
    f"typedef int32_t __attribute__((__may_alias__)) {WORD_TYPE};"
)
"""What a C file needs that views bytes as words: a plain ``int32_t`` must not alias them."""

CHOICES: dict[type[Operation], str] = {arith.MaxSIOp: ">", arith.MinSIOp: "<"}
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "<", "<=", ">", ">=")
"""By arith.cmpi's predicate; from FIRST_UNSIGNED on of unsigned numbers."""
FIRST_UNSIGNED = 6


def literal(value: int, type_: Attribute) -> str:
    """An integer constant; the smallest one of a wide type has no literal in C."""
    bits = type_.width.data if isinstance(type_, IntegerType) else 32
    return f"INT{bits}_MIN" if bits >= 32 and value == -(2 ** (bits - 1)) else str(value)


class FunctionPrinter:
    """Prints the ops of one function as lines.

    Values are texts that can stand as an operand: a name or a literal. Buffers in memories the CPU cannot address are
    numbers instead, their byte addresses.
    """

    def __init__(self, file: CFile, function: func.FuncOp, arguments: Sequence[str | None]):
        self.file = file
        self.function = function.sym_name.data
        self.lines: list[str] = []
        self._indent = 1
        self._names = Names((*KEYWORDS, WORD_TYPE, *filter(None, arguments)), file.names)
        self._texts: dict[SSAValue, str] = {}
        self._addresses: dict[SSAValue, int] = {}
        for index, (argument, text) in enumerate(zip(function.body.block.args, arguments, strict=True)):
            offset = local_offset(function, index)
            if text is not None:
                self._texts[argument] = text
            elif offset is not None:
                self._addresses[argument] = offset

    def body(self, function: func.FuncOp) -> list[str]:
        """The lines between the braces."""
        for argument in function.body.block.args:
            if argument.first_use is None and argument in self._texts:
                self.line(f"(void){self.text(argument)};")
        for op in function.body.block.ops:
            self.print_op(op)
        return self.lines

    def text(self, value: SSAValue) -> str:
        """What a use of the value prints."""
        if value not in self._texts:
            raise HtvmError(f"C: function @{self.function} uses {value.type} in a memory the CPU cannot address")
        return self._texts[value]

    def address(self, value: SSAValue) -> int | None:
        """The byte address of a buffer in a memory the CPU cannot address, None for any other."""
        return self._addresses.get(value)

    def line(self, text: str) -> None:
        """A line at the current indentation."""
        self.lines.append("  " * self._indent + text)

    def fail(self, op: Operation, why: str) -> HtvmError:
        """The error for an op that C has no form for."""
        return HtvmError(f"C: {op.name} in @{self.function}: {why}")

    @contextmanager
    def _block(self, head: str, tail: str = "}") -> Generator[None]:
        self.line(f"{head} {{")
        self._indent += 1
        yield
        self._indent -= 1
        self.line(tail)

    def _name(self, value: SSAValue, wanted: str = "v") -> str:
        name = self._names.unique(value.name_hint or wanted)
        self._texts[value] = name
        return name

    def _define(self, value: SSAValue, expression: str) -> None:
        self.line(f"const {c_type(value.type)} {self._name(value)} = {expression};")

    @singledispatchmethod
    def print_op(self, op: Operation) -> None:
        """Print one op.

        Raises:
            HtvmError: it has no C form.
        """
        if type(op) in OPERATORS:
            self._print_binary(op, OPERATORS[type(op)])
        elif type(op) in UNSIGNED_OPERATORS:
            self._print_unsigned(op, UNSIGNED_OPERATORS[type(op)])
        elif type(op) in CHOICES:
            a, b = (self.text(operand) for operand in op.operands)
            self._define_number(op.results[0], f"{a} {CHOICES[type(op)]} {b} ? {a} : {b}")
        elif isinstance(op, arith.ExtSIOp | arith.ExtUIOp | arith.TruncIOp | arith.IndexCastOp):
            self._print_cast(op)
        else:
            raise HtvmError(f"C: function @{self.function} has '{op.name}', which the C back end cannot print")

    def _print_binary(self, op: Operation, operator: str) -> None:
        if op.results[0].type == i1 and operator not in ("&", "|", "^"):
            raise self.fail(op, "a truth value has no arithmetic")
        left, right = (self.text(operand) for operand in op.operands)
        if all(isinstance(operand.owner, arith.ConstantOp) for operand in op.operands):
            left = f"({c_type(op.results[0].type)}){left}"  # C computes literals as int
        self._define_number(op.results[0], f"{left} {operator} {right}")

    def _define_number(self, value: SSAValue, expression: str) -> None:
        # C computes narrow types as int.
        is_narrow = isinstance(value.type, IntegerType) and value.type.width.data < 32
        self._define(value, f"({c_type(value.type)})({expression})" if is_narrow else expression)

    def _print_unsigned(self, op: Operation, operator: str) -> None:
        type_ = c_type(op.results[0].type)
        a, b = (self.text(operand) for operand in op.operands)
        is_shift = operator in ("<<", ">>")
        right = b if is_shift else f"(u{type_}){b}"
        self._define(op.results[0], f"({type_})((u{type_}){a} {operator} {right})")

    def _print_cast(self, op: Operation) -> None:
        operand, result = op.operands[0], op.results[0]
        source, to, text = c_type(operand.type), c_type(result.type), self.text(operand)
        match op:
            case arith.ExtSIOp() if operand.type == i1:  # true is the one bit 1, which is -1
                expression = f"-({to}){text}"
            case arith.ExtUIOp() if source.startswith("int"):
                expression = f"(u{source}){text}"
            case arith.TruncIOp() if result.type == i1:
                expression = f"(_Bool)({text} & 1)"
            case _:
                expression = f"({to}){text}"
        self._define(result, expression)

    @print_op.register
    def _(self, op: arith.ConstantOp) -> None:
        match op.value:
            case IntegerAttr():
                self._texts[op.result] = literal(op.value.value.data, op.result.type)
            case FloatAttr():
                value = op.value.value.data
                self._texts[op.result] = f"{value.hex()}{'f' if c_type(op.result.type) == 'float' else ''}"
            case _:
                raise self.fail(op, "a tensor constant must be a memref.global")

    @print_op.register
    def _(self, op: arith.CmpiOp) -> None:
        predicate = op.predicate.value.data
        a, b = self.text(op.lhs), self.text(op.rhs)
        if predicate >= FIRST_UNSIGNED:
            a, b = (f"(u{c_type(op.lhs.type)}){text}" for text in (a, b))
        self._define(op.result, f"{a} {COMPARISONS[predicate]} {b}")

    @print_op.register
    def _(self, op: arith.AddUIExtendedOp) -> None:
        if op.overflow.first_use is not None:
            raise self.fail(op, "C has no carry")
        self._print_unsigned(op, "+")

    @print_op.register
    def _(self, op: arith.SelectOp) -> None:
        self._define(op.result, f"{self.text(op.cond)} ? {self.text(op.lhs)} : {self.text(op.rhs)}")

    @print_op.register
    def _(self, op: scf.ForOp) -> None:
        induction, *arguments = op.body.block.args
        variables = [
            self._carried(op, start, argument) for start, argument in zip(op.iter_args, arguments, strict=True)
        ]
        step = self.text(op.step)
        i = self._name(induction, "i")
        advance = f"++{i}" if step == "1" else f"{i} += {step}"
        low, high = self.text(op.lb), self.text(op.ub)
        with self._block(f"for ({c_type(induction.type)} {i} = {low}; {i} < {high}; {advance})"):
            for inner in op.body.block.ops:
                if not isinstance(inner, scf.YieldOp):
                    self.print_op(inner)
                else:
                    self._assign(variables, inner.arguments)
        for result, variable in zip(op.res, variables, strict=True):
            self._texts[result] = variable

    def _carried(self, op: scf.ForOp, start: SSAValue, argument: SSAValue) -> str:
        """The variable of a loop-carried value: that of ``start`` if nothing else reads it any more."""
        is_variable = isinstance(start.owner, scf.ForOp) or (
            isinstance(start, BlockArgument) and start.index > 0 and isinstance(start.owner.parent_op(), scf.ForOp)
        )
        home = start.owner if isinstance(start, BlockArgument) else start.owner.parent_block()
        if is_variable and start.has_one_use() and home is op.parent_block():
            self._texts[argument] = self.text(start)
        else:
            self.line(f"{c_type(argument.type)} {self._name(argument)} = {self.text(start)};")
        return self._texts[argument]

    def _assign(self, variables: Sequence[str], values: Sequence[SSAValue]) -> None:
        """Assign all at once: a value that another assignment overwrites first is read before."""
        moves = [(v, self.text(x), x) for v, x in zip(variables, values, strict=True) if v != self.text(x)]
        targets = {variable for variable, _, _ in moves}
        copies: dict[str, str] = {}
        if len(moves) > 1:
            for _, text, value in moves:
                if text in targets and text not in copies:
                    copies[text] = self._names.unique(f"{text}_before")
                    self.line(f"const {c_type(value.type)} {copies[text]} = {text};")
        for variable, text, _ in moves:
            self.line(f"{variable} = {copies.get(text, text)};")

    @print_op.register
    def _(self, op: scf.IfOp) -> None:
        variables = [self._name(result) for result in op.results]
        for result, variable in zip(op.results, variables, strict=True):
            self.line(f"{c_type(result.type)} {variable};")
        regions = [op.true_region, op.false_region] if op.false_region.blocks else [op.true_region]
        for region, head in zip(regions, (f"if ({self.text(op.cond)})", "else"), strict=False):
            with self._block(head):
                for inner in region.block.ops:
                    if not isinstance(inner, scf.YieldOp):
                        self.print_op(inner)
                    else:
                        self._assign(variables, inner.arguments)

    @print_op.register
    def _(self, op: memref.LoadOp) -> None:
        self._define(op.res, self._element(op.memref, op.indices))

    @print_op.register
    def _(self, op: memref.StoreOp) -> None:
        self.line(f"{self._element(op.memref, op.indices)} = {self.text(op.value)};")

    def _element(self, buffer: SSAValue, indices: Sequence[SSAValue]) -> str:
        terms: list[str] = []
        for index, stride in zip(indices, strides_of(memref_type(buffer)), strict=True):
            text = self.text(index)
            if text != "0":
                terms.append(text if stride == 1 else f"{text} * {stride}")
        return f"{self.text(buffer)}[{' + '.join(terms) or '0'}]"

    @print_op.register
    def _(self, op: memref.GetGlobalOp) -> None:
        self._texts[op.memref] = self.file.global_name(op.name_.string_value())

    @print_op.register
    def _(self, op: memref.CollapseShapeOp) -> None:
        self._texts[op.result] = self.text(op.src)

    @print_op.register
    def _(self, op: memref.AllocOp) -> None:
        type_ = memref_type(op.memref)
        memory = self.file.memory(memory_space(type_))
        offset = op.attributes.get(OFFSET)
        if not isinstance(offset, IntegerAttr):
            raise self.fail(op, f"a buffer in '{memory.name}' has no {OFFSET}; run plan-memory first")
        if not memory.host:
            self._addresses[op.memref] = offset.value.data
            return
        if memory.name not in self.file.arenas:
            raise self.fail(op, f"a kernel must not allocate in '{memory.name}', where only @main's buffers live")
        element = c_type(type_.element_type)
        cast = "" if element == "uint8_t" else f"({element} *)" + ("(void *)" if element != "int8_t" else "")
        place = f"&{self.file.arenas[memory.name]}[{offset.value.data}]"
        self.line(f"{element} *const {self._name(op.memref, 'buffer')} = {cast}{place};")

    @print_op.register
    def _(self, op: memref.SubviewOp) -> None:
        type_ = memref_type(op.source)
        offsets = op.static_offsets
        assert is_integers(offsets)
        starts = offsets.get_values()
        if DYNAMIC_INDEX in starts:
            raise self.fail(op, "offsets must be static")
        elements = sum(start * stride for start, stride in zip(starts, strides_of(type_), strict=True))
        address = self.address(op.source)
        if address is not None:
            self._addresses[op.result] = address + elements * element_bytes(type_.element_type)
        elif elements == 0:
            self._texts[op.result] = self.text(op.source)
        else:
            # Views of constants and inputs stay read-only.
            self._texts[op.result] = f"({self.text(op.source)} + {elements})"

    @print_op.register
    def _(self, op: memref.ViewOp) -> None:
        start = op.byte_shift.owner
        if memref_type(op.result).element_type != i32 or not (
            isinstance(start, arith.ConstantOp) and isinstance(start.value, IntegerAttr) and start.value.value.data == 0
        ):
            raise self.fail(op, "bytes can be viewed as words of 32 bits only, from the first one on")
        const = "" if self.file.effects.is_written(op.result) else "const "
        source, name = self.text(op.source), self._name(op.result, "words")
        self.line(f"{const}{WORD_TYPE} *const {name} = ({const}{WORD_TYPE} *)({const}void *){source};")

    @print_op.register
    def _(self, op: memref.ReinterpretCastOp) -> None:
        address = self.address(op.source)
        (offset,) = op.static_offsets.get_values()
        if address is None:
            if offset:
                raise self.fail(op, "a buffer that the CPU can address is reinterpreted from its start")
            self._texts[op.result] = self.text(op.source)
            return
        self._addresses[op.result] = address + int(offset) * element_bytes(memref_type(op.source).element_type)

    @print_op.register
    def _(self, op: func.CallOp) -> None:
        callee = op.callee.string_value()
        if not all(map(is_token, op.results)) or callee not in self.file.functions:
            raise self.fail(op, f"@{callee} must be a function of the module without results but tokens")
        printed = (a for a in op.arguments if self.address(a) is None and not is_token(a))
        arguments = ", ".join(map(self.text, printed))
        before, after = self.file.hooks.get(op, ([], []))
        for call in (*before, f"{self.file.functions[callee]}({arguments})", *after):
            with self._block(f"if ({call} != 0)"):
                self.line("return -1;")

    @print_op.register
    def _(self, op: ExternalOp) -> None:
        self.file.add_source(op.source.data)
        self.line(f"{op.symbol.data}({', '.join(map(self.text, op.operands))});")

    @print_op.register
    def _(self, op: func.ReturnOp) -> None:
        if not all(map(is_token, op.arguments)):
            raise self.fail(op, "results are buffers; run bufferize first")
        self.line("return 0;")

    @print_op.register
    def _(self, op: dma.StartOp) -> None:
        self.line(engines.transfer(self, op))

    @print_op.register
    def _(self, op: dma.WaitOp) -> None:
        self.line(engines.transfer_done(self, op))

    @print_op.register
    def _(self, op: accel.PrepareOp) -> None:
        self.line(engines.prepare(self, op))

    @print_op.register
    def _(self, op: accel.LaunchOp) -> None:
        self.line(engines.launch(self, op))

    @print_op.register
    def _(self, op: accel.AwaitOp) -> None:
        self.line(engines.job_done(self, op))
