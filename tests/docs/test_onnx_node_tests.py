"""The test cases of the `onnx` package for every operator we claim: computed as expected, or refused with a reason.

`UPDATE_DOCS=1 pytest tests/docs` writes docs/onnx-node-tests.md.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import onnx
import pytest
from node_cases import CLAIMED, Network, cases, network, operator, quantised, refusal
from node_variants import integer_variant, qdq_variant

from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.execute import execute
from htvm_ir.driver.samples import Samples
from htvm_ir.report.operators import markdown_table

PAGE = Path(__file__).parents[2] / "docs" / "onnx-node-tests.md"

KINDS: dict[str, Callable[[Network], Network | None]] = {
    "as it is": lambda net: net,
    "int8 or uint8": integer_variant,
    "QDQ": qdq_variant,
}
"""How a case is run, and the network that is; ``None`` if it is not run so."""

FLOORS = {"as it is": 45, "int8 or uint8": 105, "QDQ": 180}
"""Cases that must pass, of each kind."""

NONE_PASSES = {
    "Cast": "of types other than 8 bits and float32",
    "Div": "by computed tensors",
    "Gather": "of elements in any order",
    "LogSoftmax": "left to the caller",
    "ReduceMean": "over other axes",
    "Shape": "a constant result",
    "Softmax": "left to the caller",
}
"""Claimed operators of which no case can be computed alone, and why."""

INTRODUCTION = """\
# Test cases of the onnx package

`UPDATE_DOCS=1 pytest tests/docs` runs the node test cases of onnx {version} whose operators we claim
([operators.md](operators.md)) and writes this page. A case is run up to three times: *as it is*; on *int8 or uint8*
tensors, if it is one on float32 and ONNX defines the operator there; and as *QDQ*, its operands and results quantised
to int8 or uint8. What is expected comes from the case, or from the reference evaluator of the package. Integers must be
equal (QDQ: but for one step in one element of 1000, or one element), float32 results within the tolerance of the case.
Operands that must be constants are bound to the values of the case, and every input gets a batch axis.

A case that is not computed is refused with an error that says why; none gives another result.
"""


@dataclass(frozen=True)
class Outcome:
    """What became of one case; ``reason`` why it was refused, ``failure`` what went wrong."""

    operator: str
    case: str
    kind: str
    reason: str | None = None
    failure: str | None = None


@cache
def outcomes() -> tuple[Outcome, ...]:
    """Every case, run in every way it can be."""
    return tuple(outcome for case in cases() for outcome in _outcomes(operator(case), network(case)))


def _outcomes(op: str, net: Network) -> Iterator[Outcome]:
    for kind, make in KINDS.items():
        variant = make(net)
        if variant is None:
            continue
        try:
            yield Outcome(op, net.name, kind, refusal(variant))
        except Exception as error:  # anything but HtvmError is a failure of ours
            yield Outcome(op, net.name, kind, failure=f"{type(error).__name__}: {error}")


def passed() -> list[Outcome]:
    return [outcome for outcome in outcomes() if outcome.reason is None and outcome.failure is None]


def test_no_case_fails() -> None:
    failures = [f"{o.case} {o.kind}: {o.failure}" for o in outcomes() if o.failure is not None]
    assert not failures, "\n".join(failures)


def test_enough_cases_pass() -> None:
    count = Counter(outcome.kind for outcome in passed())
    assert {kind: count[kind] for kind, floor in FLOORS.items() if count[kind] < floor} == {}


def test_every_claimed_operator_with_cases_passes_one() -> None:
    tried = {outcome.operator for outcome in outcomes()} & set(CLAIMED)
    computed = {outcome.operator for outcome in passed()}
    assert tried - computed == NONE_PASSES.keys() and len(tried) > 50


def test_reasons_are_one_line() -> None:
    reasons = {outcome.reason for outcome in outcomes() if outcome.reason is not None}
    assert all(0 < len(reason) < 200 and "\n" not in reason for reason in reasons)


def test_the_page_is_what_the_cases_give() -> None:
    page = render()
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(page)
    text = PAGE.read_text()
    if f"of onnx {onnx.__version__} " not in text:
        pytest.skip(f"the page is about another version than onnx {onnx.__version__}")
    assert text == page, f"run UPDATE_DOCS=1 pytest {Path(__file__).name}"


def render() -> str:
    """The page: what is claimed, how many cases passed and were refused, and every reason."""
    rows = [_row(name) for name in sorted({outcome.operator for outcome in outcomes()})]
    total = ["all", *(f"{sum(a)}/{sum(b)}" for a, b in _columns([o.operator for o in outcomes()]))]
    header = ["operator", *(f"{kind}: passed/run" for kind in KINDS)]
    without = ", ".join(name for name in CLAIMED if not any(outcome.operator == name for outcome in outcomes()))
    refused = sorted({(o.operator, o.reason) for o in outcomes() if o.reason is not None})
    reasons = [[op, reason, _cases(op, reason)] for op, reason in refused]
    parts = [INTRODUCTION.format(version=onnx.__version__), markdown_table(header, [*rows, total]), ""]
    parts += [f"Claimed, and without cases: {without or 'none'}.", ""] if without else []
    parts += ["## Refused", "", markdown_table(["operator", "reason", "cases"], reasons)]
    return "\n".join(parts) + "\n"


def _columns(names: list[str]) -> Iterator[tuple[list[bool], list[bool]]]:
    for kind in KINDS:
        run = [o for o in outcomes() if o.kind == kind and o.operator in names]
        yield [o.reason is None and o.failure is None for o in run], [True for _ in run]


def _row(name: str) -> list[str]:
    return [name, *(f"{sum(a)}/{sum(b)}" if b else "" for a, b in _columns([name]))]


def _cases(op: str, reason: str) -> str:
    found = [o for o in outcomes() if (o.operator, o.reason) == (op, reason)]
    return ", ".join(f"{o.case.removeprefix('test_')} ({o.kind})" for o in found)


ON_THE_SOC = (
    ("test_qlinearconv", "as it is"),
    ("test_qlinearmatmul_2D_int8_float32", "as it is"),
    ("test_convinteger_with_padding", "as it is"),
    ("test_add_int8", "as it is"),
    ("test_mul_uint8", "as it is"),
    ("test_max_example", "int8 or uint8"),
    ("test_split_variable_parts_2d_opset18", "int8 or uint8"),
    ("test_maxpool_2d_ceil", "int8 or uint8"),
    ("test_averagepool_2d_ceil_last_window_starts_on_pad", "QDQ"),
    ("test_gemm_default_vector_bias", "QDQ"),
    ("test_hardswish", "QDQ"),
    ("test_concat_3d_axis_2", "QDQ"),
)


@pytest.mark.parametrize(("name", "kind"), ON_THE_SOC)
def test_on_the_virtual_soc(name: str, kind: str, tmp_path: Path) -> None:
    net = KINDS[kind](network(next(case for case in cases() if case.name == name)))
    assert net is not None and refusal(net) is None
    path = tmp_path / "case.onnx"
    onnx.save(net.model, path)
    compiled: Compiled = compile_model(str(path), Options())
    samples = Samples(tuple(quantised(net, compiled.module)), "integer")
    execution = execute(compiled, "default", samples, check=True)
    assert execution.check is not None and execution.check.interpreter_mismatches == 0
