"""Cycles of a job and of a transfer: one model for the planner and for the device models.

Compute is MATCH's formula in a form that also holds for stride 2 and unequal padding; with stride 1 and
equal padding the two are equal. Dense and sum have no published formula (model choice): a dense job
takes one 16 x 16 square of weights a cycle, a sum one row of 16 elements. The analog core is ODiMO's formula.
"""

from __future__ import annotations

from htvm_ir.targets.diana.analog_instruction import AnalogInstruction
from htvm_ir.targets.diana.instruction import LANES, DigitalInstruction, Mode
from htvm_ir.targets.diana.parameters import DIANA, Parameters


def dma_cycles(transferred: int, parameters: Parameters = DIANA) -> int:
    """Cycles of one transfer between L2 and L1 that moves that many bytes."""
    return parameters.dma_start + -(-transferred // parameters.dma_bytes_per_cycle)


def weight_stream_cycles(streamed: int, parameters: Parameters = DIANA) -> int:
    """Cycles at the start of a job that streams that many bytes of weights; 0 when there are none."""
    if streamed == 0:
        return 0
    return parameters.weight_start + -(-streamed // parameters.weight_bytes_per_cycle)


def visible_rows(cy: int, oy: int, fy: int, stride: int, pad_top: int) -> int:
    """Kernel rows that lie inside an image of `cy` rows, summed over the `oy` output rows."""
    first = (stride * y - pad_top for y in range(oy))
    return sum(max(0, min(start + fy, cy) - max(start, 0)) for start in first)


def conv_cycles(
    *,
    k: int,
    ox: int,
    c: int,
    fx: int,
    fy: int,
    stride: int,
    pad_top: int,
    cy: int,
    oy: int,
    parameters: Parameters = DIANA,
) -> int:
    """Compute cycles of a convolution of `16 k` channels and `16 ox` stored columns."""
    rows = visible_rows(cy, oy, fy, stride, pad_top)
    per_row = c * (fx + parameters.column_overhead)
    return k * ox * (rows * per_row + oy * parameters.row_overhead)


def dense_cycles(*, c: int, k: int, parameters: Parameters = DIANA) -> int:
    """Compute cycles of `16 k` outputs of `16 c` inputs."""
    return c * k + parameters.row_overhead


def add_cycles(*, c: int, parameters: Parameters = DIANA) -> int:
    """Compute cycles of a sum of `16 c` elements."""
    return c + parameters.row_overhead


def compute_cycles(instruction: DigitalInstruction, parameters: Parameters = DIANA) -> int:
    """Compute cycles of a valid instruction, without its weight stream."""
    if instruction.mode == Mode.DENSE:
        return dense_cycles(c=instruction.c, k=instruction.k, parameters=parameters)
    if instruction.mode == Mode.ADD:
        return add_cycles(c=instruction.c, parameters=parameters)
    return conv_cycles(
        k=instruction.k,
        ox=instruction.ox,
        c=instruction.c,
        fx=instruction.fx,
        fy=instruction.fy,
        stride=instruction.stride,
        pad_top=instruction.pad_top,
        cy=instruction.cy,
        oy=instruction.oy,
        parameters=parameters,
    )


def weight_bytes(instruction: DigitalInstruction) -> int:
    """Bytes of weights and biases that an instruction uses, from its offset in the weight memory on."""
    if instruction.mode == Mode.CONV:
        taps = instruction.c * instruction.fy * instruction.fx
        return instruction.k * LANES * (taps + 4)
    if instruction.mode == Mode.DENSE:
        return instruction.k * LANES * LANES * (instruction.c + 1)
    return 0


def analog_weight_cycles(instruction: AnalogInstruction, parameters: Parameters = DIANA) -> int:
    """Cycles at the start of an analog job that loads the array, row by row, whatever the columns in use."""
    return parameters.weight_start + parameters.analog_row_cycles * instruction.rows


def analog_compute_cycles(instruction: AnalogInstruction, parameters: Parameters = DIANA) -> int:
    """Cycles of the activations of a valid analog job; one gives `ox_unroll` outputs of all channels."""
    p = parameters
    passes = -(-instruction.k // p.analog_columns) * -(-instruction.c // p.analog_channels)
    activations = passes * instruction.ox * instruction.oy
    return -(-activations * p.analog_activation_ns * (p.clock_hz // 1000) // 1_000_000)
