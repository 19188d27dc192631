"""Integer nets in float clothing, as DIANA's training flow exports them, to ``graph`` operations.

Every float tensor is followed as an exact expression of an integer tensor (see ``proof``), and ``graph.requant`` is
emitted where a node needs the integers: so ``Conv -> Div(2^k) -> Floor -> Max -> Min`` becomes two operations, in
whatever order and operand order the file has them. A tensor that is not provably an integer, away from the float
edges of the network, is an error that names the node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor

import numpy as np
from xdsl.dialects.builtin import IntegerType, ModuleOp
from xdsl.ir import BlockArgument, SSAValue

from htvm_ir.dialects.graph import (
    AddOp,
    Conv2dOp,
    DenseOp,
    PoolOp,
    RequantOp,
    ReshapeOp,
    shape_of,
    tensor_type,
)
from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx.accumulate import accumulated_range, bias_of, integer_array, narrowed
from htvm_ir.frontends.onnx.edges import InputEdge, input_edge
from htvm_ir.frontends.onnx.elementwise import (
    CLIPS,
    COPIES,
    FACTORS,
    clip_bounds,
    factor,
    number,
    only_computed,
    split,
)
from htvm_ir.frontends.onnx.emit import Edge, Emitter
from htvm_ir.frontends.onnx.folding import fold
from htvm_ir.frontends.onnx.graph import Array, Graph, Input, Node, Shape
from htvm_ir.frontends.onnx.proof import INT8, INT32, Value
from htvm_ir.frontends.onnx.shapes import (
    Window,
    flattened,
    pool_window,
    reshaped,
    squeezed,
    unsqueezed,
    window,
)


@dataclass(frozen=True)
class _Tensor:
    """An ONNX tensor: ``value`` of the integers in ``source``, or of their mean over ``mean``."""

    name: str
    source: SSAValue
    value: Value
    shape: Shape
    mean: Window | None = None


def import_integer(graph: Graph, input_ranges: Mapping[str, tuple[int, int]]) -> ModuleOp:
    """The module of an integer net; ``input_ranges`` are the (least, greatest) of inputs without quantisation.

    Raises HtvmError if the graph is not provably one of integers, or uses what is not supported.
    """
    return _IntegerNet(graph, input_ranges).convert()


class _IntegerNet:
    def __init__(self, graph: Graph, input_ranges: Mapping[str, tuple[int, int]]) -> None:
        self._graph = graph
        self._ranges = input_ranges
        results = [name for node in graph.nodes for name in node.outputs]
        self._emit = Emitter({name: position for position, name in enumerate(results)})
        self._tensors: dict[str, _Tensor] = {}
        self._handled: set[str] = set()
        self._handlers: dict[str, Callable[[Node], None]] = {
            "Conv": self._conv,
            "Gemm": self._gemm,
            "MatMul": self._matmul,
            "Add": self._add,
            "Floor": self._floor,
            "GlobalAveragePool": self._average,
            "AveragePool": self._average,
            "ReduceMean": self._reduce_mean,
            "MaxPool": self._max_pool,
            "GlobalMaxPool": self._max_pool,
            "Shape": self._shape,
            **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), self._reshape),
            **dict.fromkeys(FACTORS, self._scale),
            **dict.fromkeys(CLIPS, self._clip),
            **dict.fromkeys(COPIES, self._copy),
        }

    def convert(self) -> ModuleOp:
        names = [item.name for item in self._graph.inputs]
        for name in self._ranges:
            if name not in names:
                raise HtvmError(f"no input '{name}' to set the range of; there is {', '.join(names)}")
        for item in self._graph.inputs:
            self._input(item)
        for node in self._graph.nodes:
            if node.output not in self._handled:
                self._convert(node)
        results = [self._output(name) for name in self._graph.outputs]
        return self._emit.module(self._graph.name, results)

    def _convert(self, node: Node) -> None:
        handler = self._handlers.get(node.op) if node.domain == "" else None
        if handler is None:
            domain = f" of domain '{node.domain}'" if node.domain else ""
            raise node.error(
                f"operator{domain} is not supported in an integer net; "
                f"supported are {', '.join(sorted(self._handlers))}"
            )
        operands = [name for name in node.inputs if name]
        known = self._graph.constants
        if not operands:
            raise node.error("has no operands")
        if all(name in known for name in operands):
            result = fold(node, [known[name] for name in operands])
            if result is None:
                raise node.error("all operands are constants and it cannot be folded")
            known[node.output] = result
            return
        for name in operands:
            if name not in known and name not in self._tensors:
                raise node.error(f"operand '{name}' is a result that is not supported")
        handler(node)
        if node.output in self._tensors:
            self._check_shape(node, self._tensors[node.output].shape)

    def _check_shape(self, node: Node, shape: Shape) -> None:
        declared = self._graph.declared.get(node.output)
        if declared is None:
            return
        same = len(declared) == len(shape) and all(
            stated in (None, size) for stated, size in zip(declared, shape, strict=True)
        )
        if not same:
            shown = ["?" if size is None else size for size in declared]
            raise node.error(f"the result has shape {list(shape)}, the file declares {shown}")

    # Tensors

    def _set(self, node: Node, source: SSAValue, value: Value) -> None:
        tensor = _Tensor(node.output, source, value, shape_of(source))
        self._tensors[node.output] = tensor

    def _computed(self, node: Node) -> _Tensor:
        """The only operand of ``node`` that is not a constant."""
        return self._tensors[only_computed(self._graph, node)]

    def _integers(self, node: Node, name: str) -> _Tensor:
        """Tensor ``name`` as integers in memory, for ``node`` to read."""
        if name not in self._tensors:
            raise node.error(f"operand '{name}' is a constant; it must be computed here")
        tensor = self._tensors[name]
        reason = _why_no_integer(tensor)
        if reason is not None:
            raise node.error(f"needs integers, but '{name}' is not provably one: {reason}")
        made = self._made(node, tensor)
        self._tensors[name] = made
        return made

    def _made(self, node: Node, tensor: _Tensor) -> _Tensor:
        """A tensor proven to be integers as one that equals its source."""
        value = tensor.value
        if not value.fits(*INT32):
            low, high = value.interval
            raise node.error(f"'{tensor.name}' may span {low} to {high}, beyond int32; clip it first")
        bits = 8 if value.fits(*INT8) else 32
        wide = tensor_type(tensor.source).element_type != IntegerType(8)
        rounded = value.floored or value.clip_low is not None or value.clip_high is not None
        if value.is_source and not (bits == 8 and wide and rounded):
            self._emit.also(tensor.source, tensor.name)
            return replace(tensor, value=Value.integers(*value.interval))
        least, greatest = INT8 if bits == 8 else INT32
        spec = value.requantisation()
        op = RequantOp(
            tensor.source,
            IntegerType(bits),
            rounding=spec.rounding,
            multiplier=[spec.multiplier],
            shift=[spec.shift],
            zero_point=spec.zero_point,
            lo=least if spec.lo is None else max(least, spec.lo),
            hi=greatest if spec.hi is None else min(greatest, spec.hi),
        )
        source = self._emit.append(node, op, tensor.name)
        return replace(tensor, source=source, value=Value.integers(*value.interval))

    # Edges

    def _input(self, item: Input) -> None:
        if item.element not in ("FLOAT", "INT8"):
            hint = ": not supported yet" if item.element == "UINT8" else "; use float32 or int8"
            raise HtvmError(f"input '{item.name}' holds {item.element}{hint}")
        edge = input_edge(self._graph, item.name) if item.element == "FLOAT" else None
        stated = self._ranges.get(item.name)
        if edge is not None and stated is not None:
            raise HtvmError(
                f"input '{item.name}' is quantised by the model itself "
                f"to {edge.low}..{edge.high}; leave its range out"
            )
        low, high = (edge.low, edge.high) if edge else stated or INT8
        if low > high:
            raise HtvmError(f"the range {low}..{high} of input '{item.name}' is empty")
        if low < INT8[0] or high > INT8[1]:
            kind = "uint8" if low >= 0 and high <= 255 else "more than 8 bits"
            raise HtvmError(
                f"the range {low}..{high} of input '{item.name}' needs {kind}: not supported yet"
            )
        described = self._described(item.name, edge)
        assumed = edge is None and stated is None and item.element == "FLOAT"
        source = self._emit.argument(item.shape, described, (low, high), assumed)
        name = edge.tensor if edge else item.name
        self._tensors[name] = _Tensor(name, source, Value.integers(low, high), item.shape)

    def _described(self, name: str, edge: InputEdge | None) -> Edge:
        if edge is None:
            return Edge(name)
        self._handled.update(node.output for node in edge.nodes)
        return Edge(name, float(edge.scale), aliases=[edge.tensor])

    def _output(self, name: str) -> tuple[SSAValue, Edge]:
        node = next((node for node in self._graph.nodes if name in node.outputs), None)
        if node is None or name in self._graph.constants:
            raise HtvmError(f"output '{name}' is a constant; there is nothing to compute")
        if name not in self._tensors:
            raise HtvmError(f"output '{name}': this result of {node} is not supported")
        tensor = self._tensors[name]
        value = tensor.value
        if tensor.mean is None and not value.floored and value.scale != 1:
            made, edge = self._dequantised(node, tensor)
        else:
            made, edge = self._integers(node, name), Edge(name)
        if isinstance(made.source, BlockArgument):
            raise HtvmError(f"output '{name}' is an input unchanged; there is nothing to compile")
        present = self._emit.name_of(made.source)
        edge.aliases = [present] if present != name else []
        return made.source, edge

    def _dequantised(self, node: Node, tensor: _Tensor) -> tuple[_Tensor, Edge]:
        """The integers behind a trailing Mul(scale), which is left to the caller."""
        value = tensor.value
        zero_point = -value.offset / value.scale
        inner = value.plus(-value.offset).times(1 / value.scale)
        if zero_point.denominator != 1 or not inner.is_integer:
            raise node.error(f"output '{tensor.name}' is neither an integer nor one times a scale")
        # the integers have no ONNX name of their own if a clip lies behind the scale
        name = self._emit.name_of(tensor.source) if inner.is_source else f"{tensor.name}.integer"
        made = self._made(node, replace(tensor, name=name, value=inner))
        return made, Edge(tensor.name, float(value.scale), int(zero_point))

    # Layers that accumulate

    def _conv(self, node: Node) -> None:
        x = self._integers(node, node.operand(0))
        weights = integer_array(node, self._graph.constant(node, 1, "weights"), "weights")
        if weights.ndim != 4:
            raise node.error(f"weights of shape {list(weights.shape)}; only 2-D is supported")
        win = window(node, x.shape, weights.shape[2:])
        bias, name = self._bias(node, weights.shape[0], 4)
        weights_name = node.operand(1)
        if x.shape[1] != weights.shape[1] * node.integer("group", 1):
            raise node.error(
                f"weights take {weights.shape[1]} channels in {node.integer('group', 1)} groups, "
                f"the input has {x.shape[1]}"
            )
        op = Conv2dOp(
            x.source,
            self._emit.constant(weights_name, "", narrowed(weights)),
            self._bias_constant(node, bias),
            win.strides,
            win.pads,
            win.dilations,
            node.integer("group", 1),
        )
        interval = accumulated_range(node, weights, bias, x.value.interval, any(win.pads))
        self._accumulated(node, name, self._emit.append(node, op, name), interval)

    def _gemm(self, node: Node) -> None:
        if node.integer("transA", 0):
            raise node.error("transA is not supported")
        if node.number("alpha", 1.0) != 1 or node.number("beta", 1.0) != 1:
            raise node.error("alpha and beta must be 1 in an integer net; fold them into the weights")
        self._dense(node, transposed=bool(node.integer("transB", 0)))

    def _matmul(self, node: Node) -> None:
        self._dense(node, transposed=False)

    def _dense(self, node: Node, transposed: bool) -> None:
        """x times weights [K, C] if ``transposed``, else [C, K]."""
        x = self._integers(node, node.operand(0))
        weights = integer_array(node, self._graph.constant(node, 1, "weights"), "weights")
        if len(x.shape) != 2 or weights.ndim != 2:
            raise node.error(
                f"operands of shapes {list(x.shape)} and {list(weights.shape)}; "
                "only [1, C] times a matrix is supported"
            )
        weights = weights if transposed else np.ascontiguousarray(weights.T)
        bias, name = self._bias(node, weights.shape[0], 2)
        form = "" if transposed else "transposed"
        op = DenseOp(
            x.source,
            self._emit.constant(node.operand(1), form, narrowed(weights)),
            self._bias_constant(node, bias),
        )
        interval = accumulated_range(node, weights, bias, x.value.interval, padded=False)
        self._accumulated(node, name, self._emit.append(node, op, name), interval)

    def _bias(self, node: Node, channels: int, rank: int) -> tuple[Array | None, str]:
        """The bias of a layer, following Add nodes included, and the name of the last sum."""
        bias = None
        if node.operand(2):
            bias = bias_of(node, self._graph.constant(node, 2, "bias"), channels, rank)
        name = node.output
        while (term := self._following_term(name)) is not None:
            reader, array = term
            extra = bias_of(reader, array, channels, rank)
            bias = extra if bias is None else bias + extra
            name = reader.output
            self._handled.add(name)
        return bias, name

    def _following_term(self, name: str) -> tuple[Node, Array] | None:
        """The Add of integer constants that alone reads ``name``, and the constants."""
        reader = self._graph.sole_reader(name)
        if reader is None or reader.op != "Add" or reader.domain or len(reader.inputs) != 2:
            return None
        other = reader.inputs[1] if reader.inputs[0] == name else reader.inputs[0]
        array = self._graph.constants.get(other)
        if array is None or not np.array_equal(array, np.rint(array)):
            return None
        return reader, array

    def _bias_constant(self, node: Node, bias: Array | None) -> SSAValue | None:
        if bias is None:
            return None
        name = node.operand(2) or f"{node.output}.bias"
        kept = integer_array(node, bias, "sum of biases").astype(np.int32)
        return self._emit.constant(name, f"bias of {node.output}", kept)

    def _accumulated(
        self, node: Node, name: str, source: SSAValue, interval: tuple[int, int]
    ) -> None:
        value = Value.integers(*interval)
        self._tensors[name] = _Tensor(name, source, value, shape_of(source))
        if name == node.output:
            return
        self._check_shape(replace(node, outputs=(name,)), shape_of(source))

    # Element-wise

    def _add(self, node: Node) -> None:
        computed, constants = split(self._graph, node)
        if len(node.inputs) != 2 or not computed:
            raise node.error(f"needs two operands, has {len(node.inputs)}")
        if len(computed) == 2:
            self._residual(node, computed)
            return
        x = self._computed(node)
        term = number(self._graph, node, constants[0])
        self._check_rank(node, x, constants)
        if x.value.floored and term.denominator != 1:
            x = self._integers(node, x.name)
        self._tensors[node.output] = replace(x, name=node.output, value=x.value.plus(term))

    def _residual(self, node: Node, names: list[str]) -> None:
        a, b = (self._integers(node, name) for name in names)
        low = a.value.interval[0] + b.value.interval[0]
        high = a.value.interval[1] + b.value.interval[1]
        if a.shape != b.shape:
            raise node.error(f"operands of shapes {list(a.shape)} and {list(b.shape)} must be alike")
        if low < INT32[0] or high > INT32[1]:
            raise node.error(f"the sum may span {low} to {high}, beyond int32; clip its operands")
        source = self._emit.append(node, AddOp(a.source, b.source), node.output)
        self._set(node, source, Value.integers(low, high))

    def _scale(self, node: Node) -> None:
        x = self._computed(node)
        multiplier = factor(self._graph, node)
        self._check_rank(node, x, split(self._graph, node)[1])
        if x.value.floored:
            x = self._integers(node, x.name)
        self._tensors[node.output] = replace(x, name=node.output, value=x.value.times(multiplier))

    def _clip(self, node: Node) -> None:
        x = self._computed(node)
        self._check_rank(node, x, split(self._graph, node)[1])
        bounds = clip_bounds(self._graph, node)
        value = x.value.clipped(*bounds)
        if x.value.floored and not _integral(bounds) and value.interval != x.value.interval:
            shown = [float(bound) for bound in bounds if bound is not None]
            raise node.error(f"clips integers at {shown}; the bounds must be integers")
        kept = value if _integral(bounds) or not x.value.floored else x.value
        self._tensors[node.output] = replace(x, name=node.output, value=kept)

    def _check_rank(self, node: Node, x: _Tensor, constants: list[str]) -> None:
        for name in constants:
            if self._graph.constants[name].ndim > len(x.shape):
                raise node.error(f"constant '{name}' has more dimensions than the operand")

    def _floor(self, node: Node) -> None:
        x = self._computed(node)
        if x.mean is not None:
            x = self._pooled(node, x, x.mean)
        reason = x.value.obstacle()
        if reason is not None:
            raise node.error(f"its result is no integer arithmetic on '{x.name}': {reason}")
        self._tensors[node.output] = replace(x, name=node.output, value=x.value.floor())

    def _copy(self, node: Node) -> None:
        if any(node.outputs[1:]) and self._used(node.outputs[1:]):
            raise node.error("only its first result is supported")
        x = self._tensors[node.operand(0)]
        if node.op == "Cast" and node.integer("to", 0) not in (_FLOAT, _DOUBLE):
            low, high = _CAST_RANGES.get(node.integer("to", 0), (1, 0))
            if _why_no_integer(x) is not None or not x.value.fits(low, high):
                raise node.error(f"'{x.name}' is not provably a number the target type holds")
        self._tensors[node.output] = replace(x, name=node.output)

    def _used(self, names: tuple[str, ...]) -> bool:
        read = {name for node in self._graph.nodes for name in node.inputs}
        return any(name in read or name in self._graph.outputs for name in names)

    # Pools and shapes

    def _average(self, node: Node) -> None:
        x = self._integers(node, node.operand(0))
        self._mean(node, x, pool_window(node, x.shape), None)

    def _reduce_mean(self, node: Node) -> None:
        x = self._integers(node, node.operand(0))
        axes = node.integers("axes", ())
        if node.operand(1):
            axes = tuple(int(v) for v in self._graph.constant(node, 1, "axes").reshape(-1))
        if len(x.shape) != 4 or {axis % 4 for axis in axes} != {2, 3}:
            raise node.error("only the mean over height and width of N, C, H, W is supported")
        keep = bool(node.integer("keepdims", 1))
        self._mean(
            node, x, Window(x.shape[2:], (1, 1), (0, 0, 0, 0)), None if keep else x.shape[:2]
        )

    def _mean(self, node: Node, x: _Tensor, win: Window, shape: Shape | None) -> None:
        if shape is None:
            shape = (*x.shape[:2], *win.outputs(x.shape[2:]))
        self._tensors[node.output] = replace(x, name=node.output, shape=shape, mean=win)

    def _pooled(self, node: Node, x: _Tensor, win: Window) -> _Tensor:
        """The floor of a mean: a pool, and a reshape if one lay between the mean and its Floor."""
        value = x.value
        half = value.offset % 1
        if value.scale != 1 or half not in (0, Fraction(1, 2)):
            raise node.error(f"'{x.name}' must be an average, or one plus 1/2, without a factor")
        rounding = "half_up" if half else "floor"
        op = PoolOp("average", x.source, win.kernel, win.strides, win.pads, rounding)
        source = self._emit.append(node, op, node.output)
        if x.shape != shape_of(source):
            source = self._emit.append(node, ReshapeOp(source, x.shape), node.output)
        whole = value.floor()
        mean = replace(
            whole, offset=Fraction(floor(value.offset)), source=value.source, floored=False
        )
        return _Tensor(node.output, source, mean, x.shape)

    def _max_pool(self, node: Node) -> None:
        if any(node.outputs[1:]) and self._used(node.outputs[1:]):
            raise node.error("only its first result is supported")
        x = self._integers(node, node.operand(0))
        win = pool_window(node, x.shape)
        op = PoolOp("max", x.source, win.kernel, win.strides, win.pads, "floor")
        self._set(node, self._emit.append(node, op, node.output), x.value)

    def _reshape(self, node: Node) -> None:
        x = self._tensors.get(node.operand(0))
        if x is None:
            raise node.error(f"operand '{node.operand(0)}' is a constant; it must be computed here")
        shape = self._new_shape(node, x.shape)
        if x.mean is not None or shape == x.shape:
            self._tensors[node.output] = replace(x, name=node.output, shape=shape)
            return
        if x.value.is_integer:
            x = self._integers(node, x.name)
        source = self._emit.append(node, ReshapeOp(x.source, shape), node.output)
        self._tensors[node.output] = replace(x, name=node.output, source=source, shape=shape)

    def _new_shape(self, node: Node, shape: Shape) -> Shape:
        operands = [self._graph.constant(node, 1, "shape or axes")] if node.operand(1) else []
        match node.op:
            case "Reshape":
                return reshaped(node, shape, operands)
            case "Squeeze":
                return squeezed(node, shape, operands)
            case "Unsqueeze":
                return unsqueezed(node, shape, operands)
            case _:
                return flattened(node, shape)

    def _shape(self, node: Node) -> None:
        shape = self._computed(node).shape
        part = slice(node.integer("start", 0), node.integer("end", len(shape)))
        self._graph.constants[node.output] = np.array(shape[part], np.int64)


_FLOAT, _DOUBLE = 1, 11
_CAST_RANGES = {3: INT8, 5: (-(2**15), 2**15 - 1), 6: INT32, 7: (-(2**63), 2**63 - 1)}
"""Ranges of onnx.TensorProto.DataType INT8, INT16, INT32, INT64."""


def _integral(bounds: tuple[Fraction | None, Fraction | None]) -> bool:
    return all(bound is None or bound.denominator == 1 for bound in bounds)


def _why_no_integer(tensor: _Tensor) -> str | None:
    """Why a tensor is not proven to be integers, and what would make it so."""
    if tensor.mean is not None:
        return "it is an average; add a Floor"
    if not tensor.value.is_integer:
        return tensor.value.obstacle() or "it has a fractional part; add a Floor"
    return tensor.value.obstacle()
