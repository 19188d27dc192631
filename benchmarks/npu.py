"""Whether double buffering pays on the npu, and how near the transfers or the array are to being the only cost.

A kernel cannot take less than its jobs, nor less than the transfers of the tiling chosen: the larger of the two is its
bound, and the sum over all kernels that of a network. The CPU's kernels (reshapes, for example) are only in what is
measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from benchmarks.figure import Figure
from benchmarks.measured import diana_networks
from htvm_ir.driver.compile import Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.execute import execute
from htvm_ir.driver.samples import load_samples
from htvm_ir.errors import HtvmError

NETWORKS = ("resnet8", "dscnn")
TARGET = "npu,rows=16,cols=16,l1=32k,dma_width=8"
LARGER = "npu,rows=32,cols=16,l1=128k,dma_width=8"
THROUGH_L2 = "residency=false"
IN_MEMORY = f"{TARGET},imc_rows=1152,imc_bits=8"
EXTERNAL = f"{TARGET},ext_memory=4m"


@dataclass(frozen=True)
class Run:
    """Cycles of an inference; of these, those of the array's kernels; the bounds of its jobs, transfers, kernels."""

    network: int
    kernels: int
    compute: int
    transfers: int
    bound: int


def figures() -> list[Figure]:
    """ResNet-8 and the keyword network: what buffers gain, and the distance to the bounds."""
    return [figure for name in NETWORKS for figure in _network(name, diana_networks()[name])]


def _network(name: str, model: str) -> Iterator[Figure]:
    yield _gain(f"{name}: one buffer / up to three, maps through L2", model, f"{TARGET},{THROUGH_L2}", 1.3)
    yield _gain(f"{name}: one buffer / up to three, maps stay in L1", model, TARGET)
    through, best = _measure(model, f"{TARGET},{THROUGH_L2}"), _measure(model, TARGET)
    yield Figure(f"npu, {name}: cycles through L2 / staying in L1", through.network / best.network, "x")
    for what, run in (("", best), (", maps through L2", through)):
        yield Figure(f"npu, {name}: array kernels / sum of their bounds{what}", run.kernels / run.bound, "x", 1.10)
        yield Figure(f"npu, {name}: network / sum of its kernels' bounds{what}", run.network / run.bound, "x", 1.10)
    alone = max(best.compute, best.transfers)
    yield Figure(f"npu, {name}: network / larger of all jobs, all transfers", best.network / alone, "x", 1.10)
    yield Figure(f"npu, {name}: cycles", best.network, "cycles")
    larger = _measure(model, LARGER)
    yield Figure(f"npu, {name}: cycles with rows=32,l1=128k", larger.network, "cycles")
    yield _gain(f"{name}: one buffer / up to three, rows=32,l1=128k", model, LARGER)
    both, outside = _measure(model, IN_MEMORY), _measure(model, EXTERNAL)
    yield Figure(f"npu, {name}: cycles without / with an in-memory-compute array", best.network / both.network, "x")
    yield Figure(f"npu, {name}: cycles with constants in external memory / in L2", outside.network / best.network, "x")


def _gain(what: str, model: str, target: str, bar: float | None = None) -> Figure:
    single, several = (_measure(model, f"{target},buffers={buffers}").network for buffers in (1, 3))
    return Figure(f"npu, {what}", single / several, "x", bar, True)


@cache
def _measure(model: str, target: str) -> Run:
    """One run, compared with the interpreter."""
    compiled = compile_model(model, Options(target=target))
    done = execute(compiled, "default", load_samples("random:0", *edges(compiled.module), 1), check=True)
    if done.check is None or done.check.failed:
        raise HtvmError(f"'{model}' on {target} differs from the interpreter")
    cycles = compiled.report["cycles"]
    kernels = [layer["kernel"] for layer in compiled.report["layers"] if layer["engine"] != "cpu"]
    return Run(
        done.report["cycles"]["per_inference"],
        sum(done.layer_cycles[kernel] for kernel in kernels),
        cycles["compute_bound"],
        cycles["transfer_bound"],
        cycles["bound"],
    )
