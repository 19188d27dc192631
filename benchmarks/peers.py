"""Other compilers' figures for the same networks on the same core, and ours against them.

HTVM's: its last public commit with the DORY it pins, digital configuration, its own MLPerf Tiny variants with random
weights, the published driver unmodified, RV32IMC by clang -O3, run on the cost model of the virtual DIANA. Cycles of
one inference; code and constants of the network and its driver; peak heap with inputs and outputs. The zoo's networks
have the same shapes but for the classes: its ResNet-8 has 10 and HTVM's 12, its MobileNet 2 and HTVM's 4.

TVM's: the official int8 networks as ahead-of-time C without accelerators (best of the layouts and compilers tried), in
instructions of RV32IMC, exactly counted on an emulator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.figure import Figure, geometric_mean
from benchmarks.measured import measured
from htvm_ir.driver.bench import OPTIMAL


@dataclass(frozen=True)
class Peer:
    """HTVM's C of one network; sizes in bytes."""

    model: str
    cycles: int
    code: int
    constants: int
    memory: int

    def ratio(self) -> float:
        """Its cycles over ours."""
        return self.cycles / self._ours["cycles"]

    def figures(self) -> list[Figure]:
        """Cycles, flash and memory; the last two may not be more than its."""
        ours = self._ours
        flash, memory = ours["code_bytes"] + ours["constant_bytes"], ours["memory_bytes"]
        return [
            Figure(f"{self.model}: cycles of HTVM's C / ours", self.ratio(), "x"),
            Figure(f"{self.model}: code and constants, HTVM's as bar", flash, "bytes", self.code + self.constants),
            Figure(f"{self.model}: arena, inputs and outputs, HTVM's as bar", memory, "bytes", self.memory),
        ]

    @property
    def _ours(self) -> dict[str, Any]:
        return measured(self.model)["configurations"][OPTIMAL]


HTVM = (
    # with the strides of DORY's template for sums mended; 385,758 cycles without
    Peer("zoo:resnet8", 215_595, 23_716, 79_732, 52_512),
    Peer("zoo:dscnn-htvm", 1_955_094, 20_912, 34_884, 21_136),
    Peer("zoo:dae", 105_950, 11_986, 293_120, 2_112),
    Peer("zoo:mobilenetv1", 1_249_360, 35_564, 271_892, 93_696),
)
TVM_RESNET8 = 57_500_000


def figures() -> list[Figure]:
    """Ours against HTVM's own C, and ResNet-8 against TVM's."""
    found = [figure for peer in HTVM for figure in peer.figures()]
    ratios = [peer.ratio() for peer in HTVM]
    resnet = TVM_RESNET8 / measured("zoo:resnet8")["configurations"][OPTIMAL]["cycles"]
    return [
        *found,
        Figure(
            "cycles of HTVM's C / ours, geometric mean of the four", geometric_mean(ratios), "x", 4.0, at_least=True
        ),
        Figure("cycles of HTVM's C / ours, the worst of the four", min(ratios), "x", 1.5, at_least=True),
        Figure("zoo:resnet8: instructions of TVM's C / our cycles", resnet, "x", 400.0, at_least=True),
    ]
