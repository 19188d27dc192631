"""How long compiling takes: wall times of whole processes, with an empty cache and with one that knows the network."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.measured import NAMES, diana_networks
from htvm_ir import zoo

HTVM = (sys.executable, "-m", "htvm_ir.tools")
CHAINS = (100, 200, 500, 1000)
LONG = 500
"""Chains of so many layers are compiled only once."""
CHAIN_TARGET = "diana,shared_bytes=16m"
"""The weights of a thousand layers are more than DIANA's L2 holds."""


def figures(runs: int = 3) -> list[Figure]:
    """The four networks cold and warm, a deep and large network, and chains of small layers, cold."""
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        stopwatch = Stopwatch.installed(place / "bytecode")
        for name, model in diana_networks().items():
            found.append(Figure(f"htvm compile {name}, cold", stopwatch.cold([model], runs), "s", 2.0))
            found.append(Figure(f"htvm compile {name}, warm", stopwatch.warm([model], runs), "s", 1.0))
        deep = stopwatch.cold([_written("resnet50", place)], runs)
        found.append(Figure("htvm compile a ResNet of 50 layers, 224x224, cold", deep, "s", 20.0))
        chains = {n: [_chain(n, place), "--target", CHAIN_TARGET] for n in CHAINS}
        times = {n: stopwatch.cold(arguments, 1 if n >= LONG else runs) for n, arguments in chains.items()}
    return found + chain_figures(times)


def chain_figures(seconds: Mapping[int, float]) -> list[Figure]:
    """From seconds by number of layers: each length has its share of a minute for a thousand layers."""
    least, most = min(seconds), max(seconds)
    found = [Figure(f"htvm compile a chain of {n} layers, cold", t, "s", 0.06 * n) for n, t in seconds.items()]
    growth = seconds[most] / seconds[least]
    return [*found, Figure(f"time of {most} layers / time of {least} layers", growth, "x", most / least)]


@dataclass(frozen=True)
class Stopwatch:
    """Times ``htvm compile`` as a whole process; ``environment`` is that of the process."""

    environment: Mapping[str, str]

    @staticmethod
    def installed(bytecode: Path) -> Stopwatch:
        """With bytecode in a folder: ``pip install`` makes it, a source tree may not have it."""
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        stopwatch = Stopwatch(environment | {"PYTHONPYCACHEPREFIX": str(bytecode)})
        stopwatch.cold([f"zoo:{NAMES[0]}"], 1)
        return stopwatch

    def cold(self, arguments: Sequence[str], runs: int) -> float:
        """Median seconds, each time with an empty cache."""
        times: list[float] = []
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as cache:
                times.append(self._seconds(arguments, cache))
        return statistics.median(times)

    def warm(self, arguments: Sequence[str], runs: int) -> float:
        """Median seconds after one that does not count."""
        with tempfile.TemporaryDirectory() as cache:
            return statistics.median([self._seconds(arguments, cache) for _ in range(runs + 1)][1:])

    def _seconds(self, arguments: Sequence[str], cache: str) -> float:
        with tempfile.TemporaryDirectory() as out:
            command = [*HTVM, "compile", *arguments, "-o", str(Path(out, "package"))]
            started = time.perf_counter()
            subprocess.run(
                command, check=True, stdout=subprocess.DEVNULL, env={**self.environment, "HTVM_CACHE": cache}
            )
            return time.perf_counter() - started


def _chain(layers: int, folder: Path) -> str:
    """A chain of small layers as a file."""
    return _written(f"chain,layers={layers}", folder)


def _written(network: str, folder: Path) -> str:
    """A network of the zoo as a file, so that building it does not count."""
    path = folder / f"{network}.onnx"
    path.write_bytes(zoo.build(network).SerializeToString())
    return str(path)
