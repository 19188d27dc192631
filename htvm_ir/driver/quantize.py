"""Conversion of a float or QDQ model to DIANA's number format, as a command or before a compilation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from htvm_ir.driver.samples import REFERENCES, read_npz
from htvm_ir.errors import HtvmError
from htvm_ir.quantize.calibration import real_samples

if TYPE_CHECKING:
    import onnx

    from htvm_ir.driver.edges import Array
    from htvm_ir.quantize import Converted, Network


@dataclass
class Quantized:
    """A converted model; ``network`` is the float network it was, ``report`` what was chosen and what it cost."""

    model: onnx.ModelProto
    network: Network
    report: dict[str, Any]

    def real_arrays(self, path: Path, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The arrays of a file for a run of the converted network: inputs as real numbers, without references.

        Integer inputs are in the original model's convention, which the converted network does not know; outputs
        stored for the original are no reference for it.

        Raises:
            HtvmError: inputs that do not fit the network.
        """
        kept = {name: values for name, values in arrays.items() if name not in REFERENCES}
        return kept | real_samples(str(path), arrays, self.network)


def quantize_model(model: str, calibration: Path, samples: int | None = None) -> Quantized:
    """Convert the ONNX file ``model`` with the data of an npz, the first ``samples`` of it if given.

    Raises:
        HtvmError: the model or the data cannot be used.
    """
    from htvm_ir.frontends.onnx.reader import read_graph
    from htvm_ir.quantize import quantize
    from htvm_ir.quantize.read import read_network
    from htvm_ir.quantize.write import to_onnx

    if model.startswith("zoo:"):
        raise HtvmError(f"{model}: is an integer net already; compile it as it is")
    try:
        network = read_network(read_graph(Path(model)))
    except HtvmError as error:
        raise HtvmError(f"{model}: {error}") from None
    data = real_samples(str(calibration), read_npz(calibration), network)
    held = len(next(iter(data.values())))
    if samples is not None and samples > held:
        raise HtvmError(f"{calibration}: holds {held} samples, {samples} asked for")
    try:
        converted, cost = quantize(network, {name: values[:samples] for name, values in data.items()})
    except HtvmError as error:
        raise HtvmError(f"{model}: {error}") from None
    report = {"model": model, **asdict(cost), "left_to_caller": network.dropped}
    report |= {"input_scales": converted.scales, "layers": _layers(converted)}
    return Quantized(to_onnx(converted), network, report)


def _layers(converted: Converted) -> list[dict[str, Any]]:
    return [
        {
            "name": step.layer.name,
            "op": step.layer.kind,
            "exponent": step.form.exponent,
            "offset": step.form.offset,
            "clip": [step.form.low, step.form.high],
            "weight_exponent": step.weight_exponent,
            "shift": step.shift,
            "snr_db": None if step.error <= 0 else round(-10 * log10(step.error), 1),
        }
        for step in converted.steps
    ]
