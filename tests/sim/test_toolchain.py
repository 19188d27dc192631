"""Building programs with zig's clang and with others."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from small_soc import PROGRAMS, SmallSoc

from htvm_ir.errors import HtvmError
from htvm_ir.sim.machine import Machine
from htvm_ir.sim.toolchain import build, section_sizes, text_bytes

_SORT = [PROGRAMS / "sort.c"]


def test_the_same_sources_give_the_same_file_also_at_the_same_time(tmp_path: Path):
    outputs = [tmp_path / name / "program.elf" for name in ("a", "b")]
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(build, SmallSoc().soc, _SORT, [], output) for output in outputs]:
            done.result()
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    assert [path.name for path in outputs[0].parent.iterdir()] == ["program.elf"]


def test_sizes(sort_elf: Path):
    sizes = section_sizes(sort_elf)
    assert sizes[".bss"] == 4 * 300
    assert text_bytes(sort_elf) == sizes[".text"] > 200


@pytest.mark.skipif(shutil.which("clang") is None, reason="no other compiler is installed")
def test_another_compiler(sort_elf: Path, tmp_path: Path):
    other_elf = build(SmallSoc().soc, _SORT, [], tmp_path / "program.elf", compiler="clang")
    results: list[str] = []
    for elf in (sort_elf, other_elf):
        small = SmallSoc()
        Machine(small.soc, elf).run()
        results.append(small.console.text.split()[0])
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int main(void) { return undeclared; }", r"cannot build wrong.c: .*wrong.c:1.*undeclared"),
        ("int main(void) { char c = 300 + main(); return c; }", r"cannot build wrong.c: .*conversion"),
        ("int missing(void);\nint main(void) { return missing(); }", r"cannot build program.elf: .*missing"),
        (
            "char big[1 << 30];\nint main(void) { return big[1]; }",
            r"cannot build program.elf: memory 'ram' is \d+ bytes too small for '\.bss'$",
        ),
    ],
)
def test_errors_are_the_compilers_first_lines(tmp_path: Path, text: str, message: str):
    source = tmp_path / "wrong.c"
    source.write_text(text)
    output = tmp_path / "program.elf"
    with pytest.raises(HtvmError, match=message) as raised:
        build(SmallSoc().soc, [source], [], output)
    assert "\n" not in str(raised.value)
    assert not output.exists()


def test_a_missing_compiler_is_named(tmp_path: Path):
    with pytest.raises(HtvmError, match="cannot start the compiler no-such-cc"):
        build(SmallSoc().soc, _SORT, [], tmp_path / "program.elf", compiler="no-such-cc")
