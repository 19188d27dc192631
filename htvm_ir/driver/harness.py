"""A compiled network with a program that calls it, on the virtual SoC."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from htvm_ir.backend.c.interface import arena_symbol
from htvm_ir.driver.main_program import in_arena, main_source
from htvm_ir.errors import HtvmError

if TYPE_CHECKING:
    from htvm_ir.driver.edges import Edge
    from htvm_ir.sim.machine import Machine, RunResult
    from htvm_ir.targets.target import Target

Array = NDArray[Any]


def _write(files: dict[str, str], root: Path) -> list[Path]:
    paths = [root / name for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return paths


@dataclass
class KernelReturn:
    """A kernel that just returned: its name, the clock, and its arguments."""

    kernel: str
    cycle: int
    arguments: tuple[int, ...]


@dataclass
class Board:
    """A program on the virtual SoC, ready to run samples; a context manager that removes its files."""

    target: Target
    module: str
    inputs: Sequence[Edge]
    outputs: Sequence[Edge]
    folder: tempfile.TemporaryDirectory[str]
    machine: Machine
    elf: Path
    returns: list[KernelReturn] = field(default_factory=list[KernelReturn])

    @staticmethod
    def build(
        target: Target,
        files: dict[str, str],
        interface: Mapping[str, Any],
        inputs: Sequence[Edge],
        outputs: Sequence[Edge],
        compiler: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Board:
        """Compile and load a package; ``parameters`` change the virtual SoC's devices.

        interface: that object of the report.

        Raises:
            HtvmError: the target has no virtual SoC or no such parameter, or the C compiler fails.
        """
        from htvm_ir.sim.machine import Machine
        from htvm_ir.sim.toolchain import build

        if target.soc is None:
            raise HtvmError(f"target '{target.name}' has no virtual SoC; htvm compile works without one")
        unknown = sorted(set(parameters or {}) - set(target.parameters))
        if unknown:
            raise HtvmError(f"the virtual SoC of target '{target.name}' has no parameter {', '.join(unknown)}")
        soc = target.soc(**(parameters or {}))
        folder = tempfile.TemporaryDirectory(prefix="htvm-")
        root = Path(folder.name)
        try:
            sources = {**files, "src/main.c": main_source(interface, target, inputs, outputs)}
            paths = _write(sources, root)
            generated = [path for path in paths if path.parent.name == "src"]
            elf = build(soc, generated, [root / "include"], root / "network.elf", compiler=compiler)
            machine = Machine(soc, elf)
        except BaseException:
            folder.cleanup()
            raise
        return Board(target, interface["module"], inputs, outputs, folder, machine, elf)

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.folder.cleanup()

    def watch(self, kernel: str, seen: Any = None) -> None:
        """Record every return of a kernel; ``seen`` is called with it while memory still holds its results."""

        def callback(arguments: tuple[int, ...]) -> None:
            event = KernelReturn(kernel, self.machine.now, arguments)
            self.returns.append(event)
            if seen is not None:
                seen(event)

        self.machine.on_return(f"tvmgen_{self.module}_{kernel}", callback)

    def run(self, inputs: Sequence[Array]) -> tuple[list[Array], RunResult]:
        """One inference from reset; the outputs and what the machine counted.

        Raises:
            HtvmError: the program faults or returns an error.
        """
        self.returns.clear()
        self.machine.reset()
        for index, (edge, value) in enumerate(zip(self.inputs, inputs, strict=True)):
            data = np.ascontiguousarray(value, edge.dtype).tobytes()
            self.machine.write(self._address("inputs", index, edge), data)
        result = self.machine.run()
        if result.exit_code != 0:
            raise HtvmError(f"the program ended with code {result.exit_code}, expected 0")
        outputs = [
            np.frombuffer(self.machine.read(self._address("outputs", index, edge), edge.nbytes), edge.dtype).reshape(
                edge.shape
            )
            for index, edge in enumerate(self.outputs)
        ]
        return outputs, result

    def output_address(self, index: int) -> int:
        """Where the buffer of an output lies."""
        return self._address("outputs", index, self.outputs[index])

    def _address(self, kind: str, index: int, edge: Edge) -> int:
        """Where a buffer of the caller's lies."""
        if not in_arena(self.inputs, self.outputs) or edge.offset is None:
            return self.machine.symbol(f"htvm_{kind}_{index}")[0]
        return self.machine.symbol(arena_symbol(self.target.host_memory))[0] + edge.offset
