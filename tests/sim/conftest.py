"""The programs that several tests of the virtual SoC run, built once."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_soc import PROGRAMS, SmallSoc

from htvm_ir.sim.toolchain import build


@pytest.fixture(scope="session")
def cases_elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("cases") / "cases.elf"
    return build(SmallSoc().soc, [PROGRAMS / "cases.c"], [], output)


@pytest.fixture(scope="session")
def sort_elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("sort") / "sort.elf"
    return build(SmallSoc().soc, [PROGRAMS / "sort.c"], [], output)
