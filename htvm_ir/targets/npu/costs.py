"""Cycles of a job: one model for the planner and for the device model (model choice)."""

from __future__ import annotations

from htvm_ir.targets.npu.datapath import taps
from htvm_ir.targets.npu.packing import weight_bytes
from htvm_ir.targets.npu.parameters import Parameters
from htvm_ir.targets.target import Job


def compute_cycles(job: Job, p: Parameters) -> int:
    """Cycles of a job behind its start.

    A convolution: ceil(K / rows) * ceil(OY * OX / cols) * C * FY * FX. Depthwise convolutions and pools have one
    channel a row: C = 1. A sum of two maps: one element a row.
    """
    if job.kernel == "add":
        return -(-job["k"] * job["oy"] * job["ox"] // p.rows)
    blocks = -(-job["k"] // p.rows) * -(-job["oy"] * job["ox"] // p.cols)
    return blocks * job["fy"] * job["fx"] * (job["c"] if job.kernel == "conv2d" else 1)


def job_cycles(job: Job, p: Parameters) -> int:
    """Cycles from the start of a job to its end."""
    return p.job_start + compute_cycles(job, p)


def imc_write_cycles(job: Job, p: Parameters) -> int:
    """Cycles in which the in-memory-compute array takes its weights: a row for each input of a kernel."""
    return taps(job) * -(-weight_bytes(job["k"], p.imc_bits) // p.imc_write)


def imc_cycles(job: Job, p: Parameters) -> int:
    """Cycles of a job of the in-memory-compute array: its start, its weights, one activation for each pixel."""
    return p.job_start + imc_write_cycles(job, p) + job["oy"] * job["ox"] * p.imc_pixel
