"""The classifier in floating point: its layers, their gradients, and Adam, in numpy.

conv1 3x3, 16 -> conv2 3x3 stride 2, 64 -> depthwise 3x3 -> pointwise 1x1, 64 -+-> mean -> dense, 10
                                   '--------------------------------------------'
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from data import Array, Labels

from htvm_ir.zoo.arithmetic import conv2d

Tensors: TypeAlias = dict[str, Array]


class Conv(NamedTuple):
    """A convolution's weight shape (O, C / groups, kh, kw), stride, and padding on every side."""

    shape: tuple[int, int, int, int]
    stride: int
    pad: int

    @property
    def pads(self) -> tuple[int, int, int, int]:
        return self.pad, self.pad, self.pad, self.pad


CONVS = {
    "conv1": Conv((16, 1, 3, 3), 1, 1),
    "conv2": Conv((64, 16, 3, 3), 2, 1),
    "depthwise": Conv((64, 1, 3, 3), 1, 1),
    "pointwise": Conv((64, 64, 1, 1), 1, 0),
}
FEATURES, CLASSES = 64, 10


def initial(rng: np.random.Generator) -> Tensors:
    """Random parameters: He's initialisation, biases zero."""
    shapes = {name: conv.shape for name, conv in CONVS.items()} | {"logits": (CLASSES, FEATURES)}
    parameters: Tensors = {}
    for name, shape in shapes.items():
        std = np.sqrt(2 / np.prod(shape[1:]))
        parameters[f"{name}.weight"] = rng.normal(0.0, std, shape).astype(np.float32)
        parameters[f"{name}.bias"] = np.zeros(shape[0], np.float32)
    return parameters


def forward(parameters: Tensors, x: Array) -> Tensors:
    """Every layer's result on x (N, 1, 8, 8), the logits (N, 10) last."""

    def conv(name: str, x: Array) -> Array:
        weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
        return conv2d(x, weight, CONVS[name].stride, CONVS[name].pads) + bias[:, None, None]

    results: Tensors = {"input": x}
    for name in ("conv1", "conv2", "depthwise"):
        results[name] = x = np.maximum(conv(name, x), 0)
    results["pointwise"] = conv("pointwise", x)
    results["sum"] = np.maximum(results["conv2"] + results["pointwise"], 0)
    results["pool"] = results["sum"].mean(axis=(2, 3))
    results["logits"] = results["pool"] @ parameters["logits.weight"].T + parameters["logits.bias"]
    return results


def loss_gradients(parameters: Tensors, results: Tensors, labels: Labels) -> Tensors:
    """Gradients of the mean cross entropy with respect to the parameters."""
    gradients: Tensors = {}

    def conv(name: str, x: str, grad: Array) -> Array:
        weight = parameters[f"{name}.weight"]
        gradients[f"{name}.weight"], grad_x = _conv_gradients(CONVS[name], results[x], weight, grad)
        gradients[f"{name}.bias"] = grad.sum(axis=(0, 2, 3))
        return grad_x

    grad = _softmax(results["logits"])
    grad[np.arange(len(labels)), labels] -= 1
    grad /= len(labels)
    gradients["logits.weight"] = grad.T @ results["pool"]
    gradients["logits.bias"] = grad.sum(axis=0)
    grad = (grad @ parameters["logits.weight"])[:, :, None, None]
    shortcut = grad / results["sum"][0, 0].size * (results["sum"] > 0)
    grad = conv("pointwise", "depthwise", shortcut) * (results["depthwise"] > 0)
    grad = (conv("depthwise", "conv2", grad) + shortcut) * (results["conv2"] > 0)
    grad = conv("conv2", "conv1", grad) * (results["conv1"] > 0)
    conv("conv1", "input", grad)
    return gradients


class Adam:
    """Adam with the usual decay rates, on a dictionary of parameters."""

    def __init__(self, parameters: Tensors) -> None:
        self._mean = {name: np.zeros_like(value) for name, value in parameters.items()}
        self._square = {name: np.zeros_like(value) for name, value in parameters.items()}
        self._steps = 0

    def step(self, parameters: Tensors, gradients: Tensors, rate: float) -> None:
        """Moves every parameter against its gradient, in place."""
        self._steps += 1
        correction = np.sqrt(1 - 0.999**self._steps) / (1 - 0.9**self._steps)
        for name, gradient in gradients.items():
            self._mean[name] += 0.1 * (gradient - self._mean[name])
            self._square[name] += 0.001 * (gradient**2 - self._square[name])
            step = self._mean[name] / (np.sqrt(self._square[name]) + 1e-8)
            parameters[name] -= np.float32(rate * correction) * step


def _softmax(logits: Array) -> Array:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _conv_gradients(conv: Conv, x: Array, weight: Array, grad: Array) -> tuple[Array, Array]:
    """Gradients with respect to the weight and to x, tap by tap."""
    depthwise = weight.shape[1] != x.shape[1]
    padded = np.pad(x, ((0, 0), (0, 0), (conv.pad,) * 2, (conv.pad,) * 2))
    grad_weight, grad_padded = np.zeros_like(weight), np.zeros_like(padded)
    height, width = (conv.stride * size for size in grad.shape[2:])
    for i, j in np.ndindex(*weight.shape[2:]):
        window = np.s_[:, :, i : i + height : conv.stride, j : j + width : conv.stride]
        tap = weight[:, :, i, j]
        if depthwise:
            grad_weight[:, 0, i, j] = (grad * padded[window]).sum(axis=(0, 2, 3))
            grad_padded[window] += grad * tap[:, :, None]
        else:
            grad_weight[:, :, i, j] = np.tensordot(grad, padded[window], ((0, 2, 3), (0, 2, 3)))
            grad_padded[window] += np.moveaxis(np.tensordot(grad, tap, ((1,), (0,))), 3, 1)
    inner = slice(conv.pad, -conv.pad or None)
    return grad_weight, grad_padded[:, :, inner, inner]
