"""DIANA's layers as HTVM's tiler sees them."""

from __future__ import annotations

from htvm_ir.targets.diana.parameters import Parameters
from htvm_ir.targets.workload import Tensor, Workload
from htvm_ir.tiling.dory import ANALOG_WEIGHTS_PER_BYTE, Budget, Kind, Layer


def digital_layer(workload: Workload, p: Parameters, local_bytes: int) -> tuple[Layer, Budget]:
    """The layer, with logical widths, and the budget on an L1 of so many bytes."""
    budget = Budget.of(local_bytes, p.weight_memory_bytes)
    return _layer("depthwise" if workload.is_depthwise else _KINDS[workload.kind], workload), budget


def analog_layer(workload: Workload, p: Parameters, local_bytes: int) -> tuple[Layer, Budget]:
    """As for the digital core; DORY takes the weight array for what it is (147,456 bytes)."""
    array = p.analog_rows * p.analog_columns // ANALOG_WEIGHTS_PER_BYTE
    return _layer("analog", workload), Budget(Budget.of(local_bytes, 0).activations, array)


_KINDS: dict[str, Kind] = {"conv2d": "conv", "dense": "dense", "add": "add"}


def _layer(kind: Kind, workload: Workload) -> Layer:
    return Layer(
        kind, _map(workload.inputs[0], kind), _map(workload.output, kind), workload.kernel, workload.strides[0]
    )


def _map(tensor: Tensor, kind: Kind) -> tuple[int, int, int]:
    """Channels, height and width; a dense layer's vector is one pixel, a sum's is one row."""
    if len(tensor.shape) == 4:
        return tensor.shape[1], tensor.shape[2], tensor.shape[3]
    return (1, 1, tensor.shape[1]) if kind == "add" else (tensor.shape[1], 1, 1)
