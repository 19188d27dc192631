"""The contract of the in-memory-compute array: the array's operands and descriptors, its own limits and cycles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from htvm_ir.targets.npu import datapath, packing
from htvm_ir.targets.npu.costs import imc_cycles
from htvm_ir.targets.npu.engine import DESCRIPTORS, Array
from htvm_ir.targets.npu.imc_tiles import ImcTiling
from htvm_ir.targets.npu.job import encode
from htvm_ir.targets.target import Bytes, Call, Data, Job, Target
from htvm_ir.targets.workload import Workload
from htvm_ir.tiling.problem import Problem


@dataclass(frozen=True)
class InMemoryArray(Array):
    """Weights of few bits in the cells that multiply them: all channels of a pixel at one time, exact sums."""

    name: str = "imc"
    load: str = "imc_inputs"
    store: str = "imc_outputs"
    load_constants: str = "imc_weights"
    wait: str = "npu_imc_wait"
    kinds: tuple[str, ...] = ("conv2d", "dense")

    title: ClassVar[str] = "the in-memory array"

    def pack(self, workload: Workload) -> Bytes:
        return packing.pack(workload, self.parameters.imc_bits)

    def cycles(self, job: Job) -> int:
        return imc_cycles(job, self.parameters)

    def execute(self, job: Job, inputs: Sequence[Bytes], constants: Bytes, output: Bytes) -> None:
        datapath.execute(job, inputs, constants, output, self.parameters.imc_bits)

    def call(self, job: Job, inputs: Sequence[int], output: int, constants: str) -> Call:
        return Call("npu_imc_start", (Data(encode(job, inputs, output, int(constants)), DESCRIPTORS),))

    def problem(self, workload: Workload, target: Target) -> Problem:
        return ImcTiling(self, self.parameters, workload, target).problem()

    def _layer_refusals(self, workload: Workload) -> Iterator[str]:
        yield from super()._layer_refusals(workload)
        if workload.weights is None:
            return
        p, channels, rows = self.parameters, workload.output.shape[1], prod(workload.weights.shape[1:])
        if workload.groups != 1:
            yield f"{workload.groups} groups: every row of the in-memory array reaches every column (one group only)"
        if rows > p.imc_rows:
            yield f"{rows} inputs of a kernel: the in-memory array has {p.imc_rows} rows (imc_rows={rows})"
        if workload.requant is not None and packing.is_scaled(workload.requant) and channels > p.imc_cols:
            yield (
                f"a scale for each of {channels} channels, which no tile cuts: the in-memory array has {p.imc_cols} "
                f"columns (imc_cols={channels})"
            )
        low, high = -(1 << p.imc_bits - 1), (1 << p.imc_bits - 1) - 1
        least, greatest = int(np.min(workload.weights)), int(np.max(workload.weights))
        if least < low or greatest > high:
            yield (
                f"weights of {least} to {greatest}: the in-memory array holds {p.imc_bits} bits, {low} to {high} "
                "(quantise them to so many, or imc_bits=8)"
            )
