"""The npu as one literal: RISC-V core, array, memories, asynchronous DMA."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from htvm_ir.targets.npu.engine import Array
from htvm_ir.targets.npu.imc import InMemoryArray
from htvm_ir.targets.npu.parameters import NPU, Parameters
from htvm_ir.targets.npu.tiles import SOFTWARE
from htvm_ir.targets.soc import Soc
from htvm_ir.targets.target import Channel, Engine, Host, Memory, Target

ALIGNMENT = 4
"""Bytes that addresses in all memories are multiples of: the words of the array's descriptors."""


def npu(parameters: Parameters = NPU, **changes: Any) -> Target:
    """The chip with the given numbers, and changes to some."""
    p = replace(parameters, **changes)
    in_memory = f" and {p.imc_rows}x{p.imc_cols} in-memory array" if p.imc_rows else ""
    arrays = f"{p.rows}x{p.cols} array{in_memory}"
    external = Memory("EXT", p.ext_memory, ALIGNMENT, host=False, constant_section="NPU_EXT_CONST")
    return Target(
        name="npu",
        description=f"RISC-V core, {arrays} with memories of its own, DMA beside it (a model)",
        clock_hz=p.clock_hz,
        memories=(
            Memory("L1", p.l1, ALIGNMENT, host=False),
            Memory("WM", p.weight_memory, ALIGNMENT, host=False),
            Memory("L2", p.l2, ALIGNMENT, constant_section="NPU_L2_CONST", arena_section="NPU_L2_BSS"),
            *((external,) if p.ext_memory else ()),
        ),
        channels=tuple(_channels(p)),
        engines=tuple(_engines(p)),
        host_memory="L2",
        direct_edges=True,
        prefetches=p.buffers > 1,
        host=Host(),
        headers=("npu.h",),
        soc=partial(_soc, p),
        parameters=asdict(p),
    )


def _engines(p: Parameters) -> Iterator[Engine]:
    """The arrays there are; constants come from the external memory, if there is one."""
    source, way = ("EXT", "external") if p.ext_memory else ("L2", "weights")
    yield Array(p, constants=source, load_constants=way)
    if p.imc_rows:
        yield InMemoryArray(p, constants=source, load_constants=f"imc_{way}")


def _channels(p: Parameters) -> Iterator[Channel]:
    """Those of each array. Transfers of the external memory go through a port of its own."""

    def channel(name: str, source: str, destination: str, port: str = "") -> Channel:
        return Channel(
            name=name,
            source=source,
            destination=destination,
            start=p.ext_start if port else p.dma_start,
            bytes_per_cycle=p.ext_width if port else p.dma_width,
            granule=1,
            pieces=False,
            software=SOFTWARE.transfer + SOFTWARE.wait,
            overlaps=True,
            function=f"npu_{name}",
            wait=f"npu_{name}_wait",
            queue=p.dma_queue,
            port=port,
        )

    for prefix in ("", "imc_") if p.imc_rows else ("",):
        yield channel(f"{prefix}inputs", "L2", "L1")
        yield channel(f"{prefix}weights", "L2", "WM")
        yield channel(f"{prefix}outputs", "L1", "L2")
        if p.ext_memory:
            yield channel(f"{prefix}external", "EXT", "WM", port="external")


def _soc(parameters: Parameters, **changes: Any) -> Soc:
    from htvm_ir.targets.npu.soc import npu_soc

    return npu_soc(replace(parameters, **changes))
