"""The tiling problem of the in-memory-compute array: every tile writes its weights, so fewer tiles may be faster."""

from __future__ import annotations

from htvm_ir.targets.npu.packing import weight_bytes
from htvm_ir.targets.npu.parameters import Parameters
from htvm_ir.targets.npu.tiles import Tiling
from htvm_ir.targets.target import Engine, Target
from htvm_ir.targets.workload import Workload
from htvm_ir.tiling.pipeline import Term


class ImcTiling(Tiling):
    """Tiles of at most as many output channels as there are columns, and of any number of rows of the map."""

    def __init__(self, engine: Engine, parameters: Parameters, workload: Workload, target: Target):
        self.weight_bits = parameters.imc_bits
        super().__init__(engine, parameters, workload, target)

    def _cut_channels(self) -> tuple[int, ...]:
        """All that fit the columns, and powers of two below, where records do not fit the weight memory."""
        most = min(self.k, self.p.imc_cols)
        return (*(1 << n for n in range(most.bit_length()) if 1 << n < most), most)

    def _job(self) -> tuple[Term, ...]:
        p, ox = self.p, self.ox
        assert self.workload.weights is not None
        rows = self.workload.weights[0].size
        writes = self._k(lambda k: -(-weight_bytes(k, p.imc_bits) // p.imc_write))
        pixels = self._rows(lambda y: y * ox)
        return (p.job_start, ()), self._term(rows, writes), self._term(p.imc_pixel, pixels)
