"""DIANA as one literal: RISC-V core, digital array, memories, DMA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from htvm_ir.targets.diana.analog import Analog
from htvm_ir.targets.diana.digital import Digital
from htvm_ir.targets.diana.host import MeasuredHost
from htvm_ir.targets.diana.host_costs import CLIP, HOST_COSTS, SCALED
from htvm_ir.targets.diana.parameters import DIANA, Parameters
from htvm_ir.targets.target import Channel, Memory, Target

if TYPE_CHECKING:
    from htvm_ir.targets.soc import Soc
    from htvm_ir.targets.workload import Workload

MODELS = Path(__file__).parent / "model"

HOST_CYCLES = {
    "conv2d": 15,
    "convert_layout": 5,
    "pool": 3,
    "requant": 11,
    "add": 16,
    "sub": 20,
    "mul": 20,
    "lookup": 5,
    "concat": 6,
    "pad": 10,
    "reshape": 8,
    "other": 3,
}
"""Cycles an element on the CPU, measured on the virtual SoC: packaged clang at -O2, operands of both arrays."""


def diana(parameters: Parameters = DIANA, **changes: Any) -> Target:
    """DIANA with the given numbers, and changes to some; every choice that is not DIANA's own is a parameter."""
    p = replace(parameters, **changes)

    def channel(engine: str, way: str, source: str, destination: str) -> Channel:
        return Channel(
            name=f"{engine}_{way}",
            source=source,
            destination=destination,
            start=p.dma_start,
            bytes_per_cycle=p.dma_bytes_per_cycle,
            granule=p.dma_granule,
            pieces=True,
            software=28,  # measured on the virtual SoC for one piece: call, register writes, end of polling
            overlaps=False,  # one trigger and one status register for transfers and jobs
            function=f"diana_{engine}_dma_{way}",
            wait=f"diana_{engine}_wait",
            bank_stride=p.bank_rows * p.row_bytes if engine == "analog" else 0,
        )

    def lent(way: str, source: str, destination: str) -> Channel:
        return replace(
            channel("analog", way, source, destination),
            name=f"copy_{way}",
            overlaps=True,
            function=f"diana_copy_{way}",
            wait="diana_copy_wait",
            bank_stride=0,
            lent_by="analog",
        )

    copies = p.copy_engine == "analog"
    return Target(
        name="diana",
        description="RISC-V core, 16x16 digital array, 1152x512 ternary analog in-memory array, shared L1 and L2",
        clock_hz=p.clock_hz,
        memories=(
            Memory("L1", p.l1_bytes, alignment=p.dma_granule, host=False),
            Memory(
                "L2",
                p.shared_bytes,
                alignment=p.dma_granule,
                constant_section="DIANA_L2_SHARED_CONST",
                arena_section="DIANA_L2_SHARED_BSS",
                reserved=p.driver_bytes,
            ),
        ),
        channels=(
            channel("digital", "in", "L2", "L1"),
            channel("digital", "out", "L1", "L2"),
            channel("analog", "in", "L2", "L1"),
            channel("analog", "out", "L1", "L2"),
            *((lent("in", "L2", "L1"), lent("out", "L1", "L2")) if copies else ()),
        ),
        engines=(Digital(p, load="copy_in", store="copy_out") if copies else Digital(p), Analog(p)),
        host_memory="L2",
        constant_price=p.constant_price,
        host=MeasuredHost(per_element=HOST_CYCLES, table=HOST_COSTS, scaled=SCALED, clip=CLIP),
        headers=("diana_digital.h", "diana_analog.h", *(("diana_copy.h",) if copies else ())),
        soc=partial(_soc, p),
        parameters=asdict(p),
        peak_macs=p.array * p.array,
        limit=partial(_limit, p),
        functional={"digital": MODELS / "diana_digital_model.c"},
    )


def _soc(parameters: Parameters, **changes: Any) -> Soc:
    from htvm_ir.targets.diana.soc import diana_soc

    return diana_soc(replace(parameters, **changes))


def _limit(parameters: Parameters, layers: Sequence[Workload], edge_bytes: int) -> int:
    from htvm_ir.targets.diana.limit import network_limit

    return network_limit(layers, edge_bytes, parameters)
