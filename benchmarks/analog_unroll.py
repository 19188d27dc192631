"""``python -m benchmarks.analog_unroll``: what the analog jobs of a network cost for each limit of ``ox_unroll``.

Unrolling computes adjacent outputs with one activation of the array, where columns and rows are left for more copies of
the kernel. DIANA's parameters leave it at 1, because what the silicon expects of the weights is not public.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from htvm_ir.dialects.accel import LaunchOp
from htvm_ir.driver.compile import compile_model
from htvm_ir.targets.diana.analog import Analog
from htvm_ir.targets.diana.analog_tiles import unrolled
from htvm_ir.targets.diana.parameters import DIANA
from htvm_ir.targets.target import Job

LIMITS = (1, 2, 4)


def analog_jobs(model: str) -> list[Job]:
    """The jobs of a compiled network on the analog array."""
    module = compile_model(model).module
    launches = (op for op in module.walk() if isinstance(op, LaunchOp) and op.engine_name == Analog.name)
    return [Job(op.kernel.data, op.fields) for op in launches]


def cycles(jobs: list[Job], limit: int) -> int:
    """Predicted cycles if at most ``limit`` outputs are computed at a time."""
    parameters = replace(DIANA, analog_unroll=limit)
    engine, total = Analog(parameters), 0
    for job in jobs:
        unroll = unrolled(job["c"], job["k"], job["fx"], job["fy"], job["ox"], parameters)
        total += engine.cycles(replace(job, fields={**job.fields, "ox_unroll": unroll}))
    return total


def main() -> None:
    """Print a line for each network."""
    parser = argparse.ArgumentParser(prog="benchmarks.analog_unroll", description=__doc__)
    parser.add_argument("models", nargs="*", default=["zoo:resnet8-mixed", "zoo:dscnn-mixed"], metavar="MODEL")
    for model in parser.parse_args().models:
        jobs = analog_jobs(model)
        costs = ", ".join(f"{cycles(jobs, limit):,} cycles with ox_unroll up to {limit}" for limit in LIMITS)
        print(f"{model}: {len(jobs)} analog jobs: {costs}")


if __name__ == "__main__":
    main()
