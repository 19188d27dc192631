"""Small networks, their packages on disk, and applications built around them for the virtual SoC and this machine."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htvm_ir.backend.c.interface import Interface
from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.edges import edges
from htvm_ir.driver.package import package_files
from htvm_ir.interpreters.run import Runner
from htvm_ir.sim.machine import Machine
from htvm_ir.sim.toolchain import build
from htvm_ir.targets.diana.soc import diana_soc
from htvm_ir.zoo.builder import NetBuilder

APPLICATIONS = Path(__file__).parent / "applications"
SHARED = '-DMEMORY=__attribute__((section(".l2_shared_bss")))'
"""Where DIANA's engines reach an application's buffers."""

Bytes = NDArray[np.int8]


def write_net(path: Path, name: str = "first", channels: int = 16) -> Path:
    """A network with a convolution, a residual sum, the mean and a dense layer; the name seeds the weights."""
    net = NetBuilder(name, (4, 6, 6), scale=1 / 16)
    a = net.conv("conv1", net.input, channels, (3, 3))
    b = net.conv("conv2", a, channels, (3, 3), relu=False)
    net.output(net.dense("logits", net.global_average("pool", net.add("sum", a, b)), 5, relu=False), 1 / 4)
    path.write_bytes(net.model().SerializeToString())
    return path


@dataclass(frozen=True)
class Net:
    """A compiled network, a sample for its one input and what the interpreter makes of it."""

    compiled: Compiled
    sample: Bytes
    expected: Bytes

    @property
    def facts(self) -> Mapping[str, Any]:
        """The interface, as reported."""
        return self.compiled.report["interface"]

    def write(self, folder: Path) -> Path:
        """The package, unpacked."""
        for name, text in package_files(self.compiled, self.facts["module"]).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return folder


def compiled_net(model: str, options: Options) -> Net:
    """Compile, and run the interpreter on a random sample."""
    compiled = compile_model(model, options)
    (edge,), _ = edges(compiled.module)
    sample = np.random.default_rng(3).integers(-128, 128, edge.shape).astype(np.int8)
    (expected,) = Runner(compiled.source).run([sample])
    return Net(compiled, sample, np.asarray(expected, np.int8))


@cache
def small_net(path: Path, interface: Interface, engines: bool = True, module: str = "default") -> Net:
    """The network in a file, with or without engines."""
    options = Options(interface=interface, engines=None if engines else (), module_name=module)
    return compiled_net(str(path), options)


def board(application: Path, packages: Sequence[Path], scratch: Path, flags: Sequence[str] = ()) -> Machine:
    """An application with packages on the virtual DIANA."""
    sources = [source for package in packages for source in sorted(package.glob("src/tvmgen_*.c"))]
    includes = [package / "include" for package in packages]
    soc = diana_soc()
    return Machine(soc, build(soc, [application, *sources], includes, scratch / "a.elf", extra=[SHARED, *flags]))


def on_board(machine: Machine, inputs: Mapping[str, Bytes], outputs: Mapping[str, Bytes]) -> int:
    """Run once, compare the outputs if the program succeeds; its exit code."""
    machine.reset()
    for name, values in inputs.items():
        machine.write_symbol(name, values.tobytes())
    code = machine.run().exit_code
    if code == 0:
        for name, values in outputs.items():
            np.testing.assert_array_equal(np.frombuffer(machine.read_symbol(name), np.int8), values.ravel())
    return code


def native(application: Path, packages: Sequence[Path], scratch: Path, flags: Sequence[str] = ()) -> ctypes.CDLL:
    """An application with packages as a library of this machine, whose ``main`` is ``application``."""
    compiler = shutil.which("gcc") or shutil.which("clang")
    command = [compiler] if compiler else [sys.executable, "-m", "ziglang", "cc"]
    sources = sorted({source.name: source for package in packages for source in package.glob("src/*.c")}.values())
    command += ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-Dmain=application", *flags]
    command += [f"-I{package / 'include'}" for package in packages]
    library = scratch / f"{application.stem}.so"
    command += [str(application), *map(str, sources), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(library))


def natively(library: ctypes.CDLL, inputs: Mapping[str, Bytes], outputs: Mapping[str, Bytes]) -> int:
    """As ``on_board``."""
    for name, values in inputs.items():
        ctypes.memmove((ctypes.c_char * values.nbytes).in_dll(library, name), values.tobytes(), values.nbytes)
    code = int(library.application())
    if code == 0:
        for name, values in outputs.items():
            got = bytes((ctypes.c_char * values.nbytes).in_dll(library, name))
            np.testing.assert_array_equal(np.frombuffer(got, np.int8), values.ravel())
    return code
