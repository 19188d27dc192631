"""``accel``: which engine computes what, in which layout, and the explicit jobs of the lower levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    FlatSymbolRefAttrConstr,
    IntAttr,
    IntegerAttr,
    IntegerType,
    MemRefType,
    NoneAttr,
    StringAttr,
    SymbolRefAttr,
    TensorType,
    UnitAttr,
)
from xdsl.ir import (
    Attribute,
    Block,
    Dialect,
    Operation,
    ParametrizedAttribute,
    Region,
    SSAValue,
    TypeAttribute,
)
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    lazy_traits_def,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.traits import (
    HasParent,
    IsolatedFromAbove,
    IsTerminator,
    MemoryReadEffect,
    MemoryWriteEffect,
    Pure,
    RecursiveMemoryEffect,
)
from xdsl.utils.exceptions import VerifyException

from htvm_ir.dialects.attributes import integer
from htvm_ir.dialects.external import ExternalOp

TARGET = "accel.target"
"""Module attribute: the target everything below level 1 refers to."""

CPU = "cpu"
"""Engine symbol of the host core."""


@irdl_attr_definition
class TargetAttr(ParametrizedAttribute):
    """The target of a module and, if restricted, its engines: ``#accel.target<"diana" engines ["digital"]>``."""

    name = "accel.target"
    target: StringAttr
    engines: ArrayAttr[StringAttr] | NoneAttr

    def __init__(self, target: str, engines: Sequence[str] | None = None):
        allowed = NoneAttr() if engines is None else ArrayAttr([StringAttr(e) for e in engines])
        super().__init__(StringAttr(target), allowed)

    @property
    def engine_names(self) -> tuple[str, ...] | None:
        """The allowed engines, None if all are."""
        if isinstance(self.engines, NoneAttr):
            return None
        return tuple(e.data for e in self.engines)

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> list[Attribute]:
        with parser.in_angle_brackets():
            target = StringAttr(parser.parse_str_literal())
            engines: Attribute = NoneAttr()
            if parser.parse_optional_keyword("engines"):
                names = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_str_literal)
                engines = ArrayAttr([StringAttr(n) for n in names])
        return [target, engines]

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_attribute(self.target)
            if isinstance(self.engines, ArrayAttr):
                printer.print_string(" engines ")
                printer.print_attribute(self.engines)


@irdl_attr_definition
class LayoutAttr(ParametrizedAttribute):
    """The order of a tensor's elements in memory, as encoding of a tensor type.

    ``#accel.layout<0, 1, 2, 3 : 16 xor 3>`` stores axis 0 outermost and axis 3, rounded up to 16 elements, innermost;
    element i of that dense array lies at index ``i ^ 3``. Without encoding a tensor is row-major and dense.
    """

    name = "accel.layout"
    order: ArrayAttr[IntAttr]
    multiple: ArrayAttr[IntAttr]
    xor: IntAttr

    def __init__(self, order: Sequence[int], multiple: Sequence[int], xor: int = 0):
        super().__init__(
            ArrayAttr([IntAttr(a) for a in order]),
            ArrayAttr([IntAttr(m) for m in multiple]),
            IntAttr(xor),
        )

    @property
    def axes(self) -> tuple[int, ...]:
        """Logical axes, outermost first."""
        return tuple(a.data for a in self.order)

    @property
    def multiples(self) -> tuple[int, ...]:
        """Rounding of each logical axis."""
        return tuple(m.data for m in self.multiple)

    def verify(self) -> None:
        if sorted(self.axes) != list(range(len(self.axes))):
            raise VerifyException(f"{list(self.axes)} is not an order of the axes")
        if any(m < 1 for m in self.multiples):
            raise VerifyException("an axis must be rounded up to at least 1 element")
        if self.xor.data & (self.xor.data + 1):
            raise VerifyException(f"xor must be a power of two minus one, got {self.xor.data}")

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> list[Attribute]:
        def axis() -> tuple[int, int]:
            number = parser.parse_integer(allow_boolean=False, allow_negative=False)
            if parser.parse_optional_punctuation(":"):
                return number, parser.parse_integer(allow_boolean=False, allow_negative=False)
            return number, 1

        with parser.in_angle_brackets():
            axes = parser.parse_comma_separated_list(parser.Delimiter.NONE, axis)
            xor = 0
            if parser.parse_optional_keyword("xor"):
                xor = parser.parse_integer(allow_boolean=False, allow_negative=False)
        order = [number for number, _ in axes]
        if sorted(order) != list(range(len(order))):
            parser.raise_error(f"{order} is not an order of the axes")
        multiple = dict(axes)
        layout = cls(order, [multiple[a] for a in range(len(order))], xor)
        return list(layout.parameters)

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            for index, axis in enumerate(self.axes):
                rounded = self.multiples[axis]
                printer.print_string(", " if index else "")
                printer.print_string(str(axis) if rounded == 1 else f"{axis} : {rounded}")
            if self.xor.data:
                printer.print_string(f" xor {self.xor.data}")


@irdl_attr_definition
class JobTokenType(ParametrizedAttribute, TypeAttribute):
    """A job in flight."""

    name = "accel.token"


@irdl_attr_definition
class PreparedType(ParametrizedAttribute, TypeAttribute):
    """What the CPU has made ready for a job."""

    name = "accel.prepared"


def with_layout(type_: TensorType[Attribute], layout: LayoutAttr | None) -> TensorType[Attribute]:
    """The same tensor type, stored in another layout (None = row-major)."""
    encoding = NoneAttr() if layout is None else layout
    return TensorType(type_.element_type, type_.get_shape(), encoding)


def layout_of(type_: Attribute) -> LayoutAttr | None:
    """The layout a tensor type carries, None if it is row-major."""
    if not isinstance(type_, TensorType) or isinstance(type_.encoding, NoneAttr):
        return None
    if not isinstance(type_.encoding, LayoutAttr):
        raise VerifyException(f"expected an #accel.layout encoding, got {type_.encoding}")
    return type_.encoding


def verify_operands_match(
    inputs: Sequence[SSAValue],
    outputs: Sequence[SSAValue],
    results: Sequence[SSAValue],
    arguments: Sequence[SSAValue],
) -> None:
    """Check the shared shape of region ops: tensors in and out, or buffers in and out (destination passing)."""
    if len(inputs) != len(arguments):
        raise VerifyException(f"{len(inputs)} inputs, but the body takes {len(arguments)} arguments")
    if bool(outputs) == bool(results):
        raise VerifyException("expected either tensor results or output buffers")
    for value, argument in zip(inputs, arguments, strict=True):
        if not isinstance(argument.type, TensorType):
            raise VerifyException(f"body arguments must be tensors, got {argument.type}")
        if not isinstance(value.type, TensorType | MemRefType):
            raise VerifyException(f"inputs must be tensors or buffers, got {value.type}")
        if value.type.element_type != argument.type.element_type:
            raise VerifyException(f"the body takes {argument.type.element_type} elements of an input {value.type}")


@irdl_op_definition
class YieldOp(IRDLOperation):
    """The results of a dispatch region; their types carry the layout they are stored in."""

    name = "accel.yield"
    values = var_operand_def(TensorType)
    traits = lazy_traits_def(lambda: (IsTerminator(), HasParent(DispatchOp), Pure()))
    assembly_format = "$values attr-dict `:` type($values)"

    def __init__(self, *values: SSAValue):
        super().__init__(operands=[values])


@irdl_op_definition
class DispatchOp(IRDLOperation):
    """One kernel: the region's ops run together on ``engine`` (``@cpu`` is the host core).

    On tensors it has results; after bufferisation it reads and writes the buffers ``ins`` and ``outs``, whose layouts
    are those of the region's arguments and yielded values. ``refused`` says for each engine that does not run it
    why not. ``plan`` is the tiling that ``apply-plan`` obeys.
    """

    name = "accel.dispatch"
    inputs = var_operand_def()
    outputs = var_operand_def(MemRefType)
    engine = prop_def(FlatSymbolRefAttrConstr)
    kernel = prop_def(StringAttr)
    refused = opt_prop_def(DictionaryAttr)
    plan = opt_prop_def(Attribute)
    body = region_def("single_block")
    results_ = var_result_def(TensorType)
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(IsolatedFromAbove(), RecursiveMemoryEffect())
    assembly_format = (
        "$engine $kernel `ins` `(` ($inputs^ `:` type($inputs))? `)`"
        " (`outs` `(` $outputs^ `:` type($outputs) `)`)?"
        " (`refused` $refused^)? (`plan` $plan^)? attr-dict-with-keyword $body"
        " (`->` type($results_)^)?"
    )

    def __init__(
        self,
        engine: str,
        kernel: str,
        inputs: Sequence[SSAValue],
        body: Region | Block,
        results: Sequence[Attribute] = (),
        outputs: Sequence[SSAValue] = (),
        refused: Mapping[str, str] | None = None,
        plan: Attribute | None = None,
        attributes: Mapping[str, Attribute] | None = None,
    ):
        reasons = {name: StringAttr(reason) for name, reason in (refused or {}).items()}
        super().__init__(
            operands=[inputs, outputs],
            properties={
                "engine": SymbolRefAttr(engine),
                "kernel": StringAttr(kernel),
                "refused": DictionaryAttr(reasons) if reasons else None,
                "plan": plan,
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
    def reasons(self) -> dict[str, str]:
        """Refusing engine -> reason."""
        if self.refused is None:
            return {}
        return {k: v.data for k, v in self.refused.data.items() if isinstance(v, StringAttr)}

    @property
    def yielded(self) -> tuple[SSAValue, ...]:
        """The values the body yields."""
        last = self.body.block.last_op
        assert isinstance(last, YieldOp)
        return tuple(last.values)

    def verify_(self) -> None:
        last = self.body.block.last_op
        if not isinstance(last, YieldOp):
            raise VerifyException("the body must end with accel.yield")
        verify_operands_match(self.inputs, self.outputs, self.results_, self.body.block.args)
        targets = self.outputs or self.results_
        if len(last.values) != len(targets):
            raise VerifyException(f"{len(targets)} outputs, but {len(last.values)} values yielded")
        for value, argument in zip(self.inputs, self.body.block.args, strict=True):
            if isinstance(value.type, TensorType) and value.type != argument.type:
                raise VerifyException(f"the body takes {argument.type}, but the input is {value.type}")
        for value, result in zip(last.values, self.results_, strict=False):
            if value.type != result.type:
                raise VerifyException(f"yields {value.type}, but the result is {result.type}")


@irdl_op_definition
class ConvertLayoutOp(IRDLOperation):
    """The same tensor, stored in another layout."""

    name = "accel.convert_layout"
    input = operand_def(TensorType)
    result = result_def(TensorType)
    traits = traits_def(Pure())
    assembly_format = "$input attr-dict `:` type($input) `to` type($result)"

    def __init__(self, x: SSAValue, result: Attribute):
        super().__init__(operands=[x], result_types=[result])

    def verify_(self) -> None:
        assert isinstance(self.input.type, TensorType) and isinstance(self.result.type, TensorType)
        before, after = self.input.type, self.result.type
        if (before.get_shape(), before.element_type) != (after.get_shape(), after.element_type):
            raise VerifyException("a layout conversion keeps shape and element type")


class _JobOp(IRDLOperation):
    """What ops about a job share: its engine, which of the engine's kernels it is, and its numbers."""

    engine = prop_def(FlatSymbolRefAttrConstr)
    kernel = prop_def(StringAttr)
    job = prop_def(DictionaryAttr)

    @property
    def engine_name(self) -> str:
        """The engine without the ``@``."""
        return self.engine.string_value()

    @property
    def fields(self) -> dict[str, int]:
        """The job's numbers."""
        return {k: v.value.data for k, v in self.job.data.items() if isinstance(v, IntegerAttr)}

    def verify_(self) -> None:
        for name, value in self.job.data.items():
            if not (isinstance(value, IntegerAttr) and isinstance(value.type, IntegerType)):
                raise VerifyException(f"job field '{name}' must be an integer, got {value}")


def _job_properties(engine: str, kernel: str, job: Mapping[str, int]) -> dict[str, Attribute]:
    return {
        "engine": SymbolRefAttr(engine),
        "kernel": StringAttr(kernel),
        "job": DictionaryAttr({name: integer(value) for name, value in job.items()}),
    }


@irdl_op_definition
class PrepareOp(_JobOp):
    """Makes ready, on the CPU, what a job needs of it besides its operands; the engine may be at work meanwhile.

    Takes the operands' addresses and not what they hold. Until the launch, nothing else is prepared for the engine.
    ``beside``: meanwhile the engine is at work on a job that nothing was prepared for, and long enough to prepare as
    much again.
    """

    name = "accel.prepare"
    inputs = var_operand_def(MemRefType)
    output = operand_def(MemRefType)
    beside = opt_prop_def(UnitAttr)
    prepared = result_def(PreparedType())
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(MemoryWriteEffect())
    assembly_format = (
        "$engine $kernel `ins` `(` $inputs `:` type($inputs) `)` `outs` `(` $output `:` type($output) `)`"
        " (`beside` $beside^)? `job` $job attr-dict"
    )

    def __init__(self, engine: str, kernel: str, inputs: Sequence[SSAValue], output: SSAValue, job: Mapping[str, int]):
        super().__init__(
            operands=[inputs, output],
            properties=_job_properties(engine, kernel, job),
            result_types=[PreparedType()],
        )


@irdl_op_definition
class LaunchOp(_JobOp):
    """Starts a job on an engine: operand buffers in its local memory, packed constants, job fields.

    ``prepared``: where the engine asks for it, what the CPU has made ready. The outcome is defined after
    ``accel.await`` of the token.
    """

    name = "accel.launch"
    inputs = var_operand_def(MemRefType)
    constants = opt_operand_def(MemRefType)
    output = operand_def(MemRefType)
    prepared = opt_operand_def(PreparedType())
    token = result_def(JobTokenType())
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())
    assembly_format = (
        "$engine $kernel `ins` `(` $inputs `:` type($inputs) `)`"
        " (`constants` `(` $constants^ `:` type($constants) `)`)?"
        " `outs` `(` $output `:` type($output) `)` (`prepared` `(` $prepared^ `)`)? `job` $job attr-dict"
    )

    def __init__(
        self,
        engine: str,
        kernel: str,
        inputs: Sequence[SSAValue],
        constants: SSAValue | None,
        output: SSAValue,
        job: Mapping[str, int],
        prepared: SSAValue | None = None,
    ):
        super().__init__(
            operands=[inputs, constants, output, prepared],
            properties=_job_properties(engine, kernel, job),
            result_types=[JobTokenType()],
        )


@irdl_op_definition
class AwaitOp(IRDLOperation):
    """Returns when the job is done."""

    name = "accel.await"
    token = operand_def(JobTokenType())
    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())
    assembly_format = "$token attr-dict"

    def __init__(self, token: SSAValue):
        super().__init__(operands=[token])


def kernels(module: Operation) -> list[DispatchOp]:
    """All dispatches of a module in program order."""
    return [op for op in module.walk() if isinstance(op, DispatchOp)]


Accel = Dialect(
    "accel",
    [DispatchOp, YieldOp, ConvertLayoutOp, ExternalOp, PrepareOp, LaunchOp, AwaitOp],
    [TargetAttr, LayoutAttr, JobTokenType, PreparedType],
)
