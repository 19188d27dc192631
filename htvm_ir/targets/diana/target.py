"""DIANA as one literal: RISC-V core, digital array, memories, DMA."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from htvm_ir.targets.diana.digital import Digital
from htvm_ir.targets.diana.parameters import DIANA, Parameters
from htvm_ir.targets.soc import Soc
from htvm_ir.targets.target import Channel, Host, Memory, Target


def diana(parameters: Parameters = DIANA) -> Target:
    """DIANA with the given numbers; every choice that is not DIANA's own is a parameter."""
    p = parameters

    def channel(name: str, source: str, destination: str, function: str) -> Channel:
        return Channel(
            name=name,
            source=source,
            destination=destination,
            start=p.dma_start,
            bytes_per_cycle=p.dma_bytes_per_cycle,
            granule=p.dma_granule,
            pieces=True,
            software=36,  # measured on the virtual SoC for one piece: call, register writes, end of polling
            overlaps=False,  # one trigger and one status register for transfers and jobs
            function=function,
            wait="diana_digital_wait",
        )

    return Target(
        name="diana",
        description="RISC-V core, 16x16 digital array, analog in-memory array (not used yet), shared L1 and L2",
        clock_hz=p.clock_hz,
        memories=(
            Memory("L1", p.l1_bytes, alignment=p.dma_granule, host=False),
            Memory(
                "L2",
                p.shared_bytes,
                alignment=p.dma_granule,
                constant_section="DIANA_L2_SHARED_CONST",
                arena_section="DIANA_L2_SHARED_BSS",
            ),
        ),
        channels=(
            channel("digital_in", "L2", "L1", "diana_digital_dma_in"),
            channel("digital_out", "L1", "L2", "diana_digital_dma_out"),
        ),
        engines=(Digital(p),),
        host_memory="L2",
        host=Host(),  # measured on the virtual SoC with the packaged clang at -O2
        headers=("diana_digital.h",),
        soc=partial(_soc, p),
        parameters=asdict(p),
    )


def _soc(parameters: Parameters) -> Soc:
    from htvm_ir.targets.diana.soc import diana_soc

    return diana_soc(parameters)
