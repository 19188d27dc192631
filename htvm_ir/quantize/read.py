"""Float and QDQ models to a :class:`Network`: quantisation is taken back, what is linear is folded.

A QuantizeLinear whose integers begin at 0 stays as a clip (it is often the network's ReLU), its rounding is left out;
a DequantizeLinear is nothing on a tensor and gives real weights on a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx.graph import Graph, Node, Shape
from htvm_ir.frontends.onnx.integer.elementwise import clip_bounds
from htvm_ir.frontends.onnx.shapes import global_window, new_shape_in, pool_window, window
from htvm_ir.quantize.network import Add, Array, Clip, Conv, Dense, Layer, Linear, Move, Network, Pool, Source

_INTEGER_INPUTS = ("INT8", "UINT8")


def read_network(graph: Graph) -> Network:
    """The float network of a model.

    Raises:
        HtvmError: an operator or a form of it that cannot be converted.
    """
    if any(node.op == "Floor" for node in graph.nodes):
        raise HtvmError("it is an integer net already (it holds Floor); compile it as it is")
    reader = _Reader(graph)
    for node in graph.nodes:
        reader.read(node)
    return reader.network()


class _Reader:
    """``tensors``: ONNX name -> name of the layer's result or of the input that holds the same numbers."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.sources = {item.name: Source(item.name, item.shape) for item in graph.inputs}
        self.integer_inputs = {item.name for item in graph.inputs if item.element in _INTEGER_INPUTS}
        for item in graph.inputs:
            if item.element not in ("FLOAT", *_INTEGER_INPUTS):
                raise HtvmError(f"input '{item.name}' holds {item.element}; float32, int8 and uint8 can be converted")
        self.layers: dict[str, Layer] = {}
        self.tensors = {name: name for name in self.sources}
        self.tails: dict[str, str] = {}

    def read(self, node: Node) -> None:
        """Adds what one node computes."""
        handler = _HANDLERS.get(node.op) if node.domain == "" else None
        if handler is None:
            raise node.error(f"cannot be converted; operators that can are {', '.join(sorted(_HANDLERS))}")
        if any(name in self.tails for name in node.inputs) and node.op not in _KEEPS:
            raise node.error("follows a Softmax; only a Softmax at the end of the network can be left to the caller")
        handler(self, node)

    def network(self) -> Network:
        outputs = {name: self.tensor(name) for name in self.graph.outputs}
        for name, tensor in outputs.items():
            if tensor in self.sources:
                raise HtvmError(f"output '{name}' is an input unchanged; there is nothing to convert")
        tails = [self.tails[name] for name in self.graph.outputs if name in self.tails]
        return Network(self.graph.name, list(self.sources.values()), list(self.layers.values()), outputs, tails)

    def tensor(self, name: str) -> str:
        """Where the numbers of an ONNX tensor are."""
        if name not in self.tensors:
            raise HtvmError(f"'{name}' is a constant or missing where a computed tensor is needed")
        return self.tensors[name]

    def shape(self, name: str) -> Shape:
        """The shape of an ONNX tensor."""
        tensor = self.tensor(name)
        return self.sources[tensor].shape if tensor in self.sources else self.layers[tensor].shape

    def add(self, node: Node, layer: Layer) -> None:
        """A new layer for the result of ``node``."""
        self.layers[layer.name] = layer
        self.tensors[node.output] = layer.name

    def alias(self, node: Node) -> None:
        """The result of ``node`` is its operand."""
        source = node.operand(0)
        self.tensors[node.output] = self.tensor(source)
        if source in self.tails:
            self.tails[node.output] = self.tails[source]

    def owner(self, name: str) -> Layer | None:
        """The layer whose result only the reader of ONNX tensor ``name`` sees."""
        layer = self.layers.get(self.tensor(name))
        shared = self.graph.sole_reader(name) is None or any(
            tensor == self.tensors[name] and other != name and self._is_read(other, name)
            for other, tensor in self.tensors.items()
        )
        return None if shared else layer

    def _is_read(self, other: str, name: str) -> bool:
        """Whether anything but the node that makes ``name`` of it reads ONNX tensor ``other``."""
        reader = self.graph.sole_reader(other)
        return self.graph.is_used(other) and (reader is None or self.tensors.get(reader.output) != self.tensors[name])

    def clip(self, node: Node, low: float, high: float) -> None:
        """The result of ``node`` is its operand clipped."""
        layer = self.owner(node.operand(0))
        if layer is None or isinstance(layer, Move):
            source = self.tensor(node.operand(0))
            self.add(node, Clip(node.output, (source,), self.shape(node.operand(0)), low=low, high=high))
            return
        layer.low, layer.high = min(max(layer.low, low), high), max(min(layer.high, high), low)
        self.alias(node)

    def constant(self, node: Node, index: int, what: str) -> Array:
        """A constant operand as float64."""
        return self.graph.constant(node, index, what).astype(np.float64)


def _conv(reader: _Reader, node: Node) -> None:
    weights = reader.constant(node, 1, "weights")
    if weights.ndim != 4:
        raise node.error(f"weights of shape {list(weights.shape)}; only 2-D convolutions can be converted")
    shape = reader.shape(node.operand(0))
    win = window(node, shape, weights.shape[2:])
    groups = node.integer("group", 1)
    if shape[1] != weights.shape[1] * groups or weights.shape[0] % groups:
        raise node.error(f"weights {list(weights.shape)} in {groups} groups do not fit {shape[1]} input channels")
    out = (1, weights.shape[0], *win.outputs(shape[2:]))
    source = reader.tensor(node.operand(0))
    reader.add(node, Conv(node.output, (source,), out, weights, _bias(reader, node, weights.shape[0]), win, groups))


def _bias(reader: _Reader, node: Node, channels: int) -> Array:
    if not node.operand(2):
        return np.zeros(channels)
    bias = reader.constant(node, 2, "bias").reshape(-1)
    if bias.size not in (1, channels):
        raise node.error(f"a bias of {bias.size} values for {channels} channels")
    return np.array(np.broadcast_to(bias, channels))


def _gemm(reader: _Reader, node: Node) -> None:
    if node.integer("transA", 0):
        raise node.error("transA cannot be converted")
    weights = reader.constant(node, 1, "weights") * node.number("alpha", 1.0)
    _dense(reader, node, weights if node.integer("transB", 0) else weights.T, node.number("beta", 1.0))


def _dense(reader: _Reader, node: Node, weights: Array, beta: float = 1.0) -> None:
    """``weights`` are [K, C]."""
    shape = reader.shape(node.operand(0))
    if len(shape) != 2 or weights.ndim != 2 or weights.shape[1] != shape[1]:
        raise node.error(f"operands {list(shape)} and {list(weights.T.shape)}; only [1, C] times a matrix can be")
    channels = weights.shape[0]
    bias = _bias(reader, node, channels) * beta
    source = reader.tensor(node.operand(0))
    reader.add(node, Dense(node.output, (source,), (1, channels), np.ascontiguousarray(weights), bias))


def _matmul(reader: _Reader, node: Node) -> None:
    _dense(reader, node, reader.constant(node, 1, "weights").T)


def _batch_norm(reader: _Reader, node: Node) -> None:
    scale, shift, mean, variance = (reader.constant(node, i, "batch normalisation") for i in range(1, 5))
    factor = scale / np.sqrt(variance + node.number("epsilon", 1e-5))
    _affine(reader, node, node.operand(0), factor, shift - mean * factor)


def _arithmetic(reader: _Reader, node: Node) -> None:
    """Add, Sub, Mul or Div: of two tensors (Add only), or of a tensor and constants."""
    computed = [i for i, name in enumerate(node.inputs) if name not in reader.graph.constants]
    if len(computed) == 2 and node.op == "Add":
        _residual(reader, node)
        return
    if len(node.inputs) != 2 or len(computed) != 1 or (node.op == "Div" and computed[0] == 1):
        raise node.error("can be converted only with one computed operand, the other (a divisor) constant")
    values = _channel_values(reader, node, node.operand(computed[0]), 1 - computed[0])
    one, zero = np.ones_like(values), np.zeros_like(values)
    with np.errstate(divide="ignore"):
        factor, term = {
            "Add": (one, values),
            "Sub": (one, -values) if computed[0] == 0 else (-one, values),
            "Mul": (values, zero),
            "Div": (1 / values, zero),
        }[node.op]
    _affine(reader, node, node.operand(computed[0]), factor, term)


def _residual(reader: _Reader, node: Node) -> None:
    a, b = (reader.shape(name) for name in node.inputs)
    if a != b:
        raise node.error(f"operands of shapes {list(a)} and {list(b)} must be alike")
    reader.add(node, Add(node.output, tuple(reader.tensor(name) for name in node.inputs), a))


def _channel_values(reader: _Reader, node: Node, tensor: str, index: int) -> Array:
    """A constant operand as one value for each channel, axis 1 of ``tensor``."""
    shape, values = reader.shape(tensor), reader.constant(node, index, "operand")
    wanted = (1, shape[1], *(1,) * (len(shape) - 2))
    try:
        return np.array(np.broadcast_to(values, wanted)).reshape(-1)
    except ValueError:
        raise node.error(
            f"a constant of shape {list(values.shape)}; one number or one for each channel can be"
        ) from None


def _affine(reader: _Reader, node: Node, source: str, factor: Array, term: Array) -> None:
    """``source * factor + term`` for each channel: folded into the layer before, else a depthwise 1x1 convolution."""
    if not (np.isfinite(factor).all() and np.isfinite(term).all()):
        raise node.error("its constants give numbers that are not finite")
    layer, shape = reader.owner(source), reader.shape(source)
    if isinstance(layer, Linear) and np.isneginf(layer.low) and np.isposinf(layer.high):
        layer.weights = layer.weights * factor.reshape(-1, *(1,) * (layer.weights.ndim - 1))
        layer.bias = layer.bias * factor + term
        reader.tensors[node.output] = layer.name
        return
    if len(shape) != 4:
        raise node.error(
            f"scales a tensor of shape {list(shape)}; behind a layer with weights, or on N, C, H, W, it can"
        )
    win = global_window((1, 1, 1, 1))
    inputs = (reader.tensor(source),)
    reader.add(node, Conv(node.output, inputs, shape, factor.reshape(-1, 1, 1, 1), term, win, shape[1]))


def _pool(reader: _Reader, node: Node) -> None:
    shape = reader.shape(node.operand(0))
    win = pool_window(node, shape)
    out = (*shape[:2], *win.outputs(shape[2:]))
    reader.add(node, Pool(node.output, (reader.tensor(node.operand(0)),), out, win, "Average" in node.op))


def _mean(reader: _Reader, node: Node) -> None:
    shape = reader.shape(node.operand(0))
    axes = node.integers("axes", ())
    if node.operand(1):
        axes = tuple(int(v) for v in reader.graph.constant(node, 1, "axes").reshape(-1))
    if len(shape) != 4 or {axis % 4 for axis in axes} != {2, 3}:
        raise node.error("only the mean over height and width of N, C, H, W can be converted")
    pooled = (*shape[:2], 1, 1)
    pool = Pool(node.output, (reader.tensor(node.operand(0)),), pooled, global_window(shape), True)
    if not node.integer("keepdims", 1):
        pool.name = f"{node.output}.mean"
        reader.layers[pool.name] = pool
        reader.add(node, Move(node.output, (pool.name,), shape[:2]))
        return
    reader.add(node, pool)


def _reshape(reader: _Reader, node: Node) -> None:
    shape = reader.shape(node.operand(0))
    target = new_shape_in(reader.graph, node, shape)
    if target == shape:
        reader.alias(node)
        return
    if len(target) < 2 or target[0] != 1:
        raise node.error(f"reshapes to {list(target)}; the first axis must stay the batch")
    reader.add(node, Move(node.output, (reader.tensor(node.operand(0)),), target))


def _transpose(reader: _Reader, node: Node) -> None:
    shape = reader.shape(node.operand(0))
    order = node.integers("perm", range(len(shape))[::-1], len(shape))
    if order[0] != 0:
        raise node.error(f"perm {list(order)} moves the batch axis")
    target = tuple(shape[axis] for axis in order)
    kept = [axis for axis in order if shape[axis] > 1]
    moves = () if kept == sorted(kept) else order
    reader.add(node, Move(node.output, (reader.tensor(node.operand(0)),), target, moves))


def _clip(reader: _Reader, node: Node) -> None:
    low, high = clip_bounds(reader.graph, node)
    reader.clip(node, -np.inf if low is None else float(low), np.inf if high is None else float(high))


def _quantize(reader: _Reader, node: Node) -> None:
    """A clip at 0 and above, where the layer before can carry it: it stands for the network's ReLU, bounded or not.

    That numbers of both signs saturate is a limit of their 8 bits and no part of the network.
    """
    source = node.operand(0)
    layer = None if source in reader.graph.constants else reader.owner(source)
    if layer is None or isinstance(layer, Move) or source in reader.tails:
        reader.alias(node)
        return
    scale, zero_point = _scale(reader, node)
    if scale.size > 1:
        raise node.error("one scale for each channel of a computed tensor cannot be converted")
    kind = reader.graph.constants[node.operand(2)].dtype if node.operand(2) else np.dtype(np.uint8)
    limits = np.iinfo(kind)
    low, high = (float(scale) * (bound - float(zero_point)) for bound in (limits.min, limits.max))
    if low < 0:
        reader.alias(node)
    else:
        reader.clip(node, low, high)


def _scale(reader: _Reader, node: Node) -> tuple[Array, Array]:
    scale = reader.constant(node, 1, "scale").reshape(-1).squeeze()
    zero_point = reader.constant(node, 2, "zero point").reshape(-1).squeeze() if node.operand(2) else np.zeros(())
    return scale, zero_point


def _dequantize(reader: _Reader, node: Node) -> None:
    """Real constants, the scale of an integer input, or nothing."""
    source = node.operand(0)
    scale, zero_point = _scale(reader, node)
    if source in reader.graph.constants:
        values = reader.graph.constants[source].astype(np.float64)
        column = [1] * values.ndim
        if scale.ndim:
            column[node.integer("axis", 1)] = -1
            scale = scale.reshape(column)
        if zero_point.ndim:
            zero_point = zero_point.reshape(column)
        reader.graph.constants[node.output] = (values - zero_point) * scale
        return
    reader.alias(node)
    origin = _origin(reader, reader.tensors[node.output])
    if origin in reader.integer_inputs:
        item = replace(reader.sources[origin], scale=float(scale), zero_point=int(zero_point))
        if reader.sources[origin].scale not in (None, item.scale):
            raise node.error(f"input '{origin}' is dequantised with two scales")
        reader.sources[origin] = item


def _origin(reader: _Reader, tensor: str) -> str:
    """The input whose numbers a tensor holds, else the tensor itself."""
    while isinstance(layer := reader.layers.get(tensor), Move):
        (tensor,) = layer.inputs
    return tensor


def _softmax(reader: _Reader, node: Node) -> None:
    reader.alias(node)
    reader.tails[node.output] = node.op


_KEEPS = ("Identity", "Dropout", "Cast", "QuantizeLinear", "DequantizeLinear")
_HANDLERS: dict[str, Callable[[_Reader, Node], None]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _arithmetic),
    **dict.fromkeys(("AveragePool", "GlobalAveragePool", "MaxPool", "GlobalMaxPool"), _pool),
    "ReduceMean": _mean,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    "Transpose": _transpose,
    **dict.fromkeys(("Relu", "Clip", "Max", "Min"), _clip),
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    **dict.fromkeys(("Identity", "Dropout", "Cast"), _Reader.alias),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
}
