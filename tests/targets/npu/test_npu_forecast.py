"""What plan-strips takes a network to cost is what overlap-transfers makes of it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from htvm_ir.driver.compile import Options, compile_model
from htvm_ir.passes import overlap_transfers, plan_strips
from htvm_ir.passes.pipeline import default_passes
from htvm_ir.passes.plan_strips import PlanStrips
from htvm_ir.schedule.depth_first import Judge, Strips, plan_depth_first
from htvm_ir.schedule.transfers import overlap, simulate


class Seen:
    """The cycles that segments were judged to take, which were chosen, and the cycles of the final order."""

    def __init__(self) -> None:
        self.judged: dict[frozenset[Strips], int] = {}
        self.chosen: frozenset[Strips] | None = None
        self.total = 0

    def plan(
        self, kernels: Any, tensors: Any, capacity: int, price: Any, seconds: float, judge: Judge | None
    ) -> list[Strips]:
        def judged(rest: Any, chosen: Sequence[Strips]) -> int:
            assert judge is not None
            self.judged[frozenset(chosen)] = judge(rest, chosen)
            return self.judged[frozenset(chosen)]

        found = plan_depth_first(kernels, tensors, capacity, price, seconds, judged if judge else None)
        self.chosen = frozenset(found)
        return found

    def overlap(self, events: Any, call: int, fits: Any) -> list[int]:
        order = overlap(events, call, fits)
        self.total = simulate(events, order, call).total()
        return order


@contextmanager
def seen() -> Generator[Seen]:
    found = Seen()
    with (
        patch.object(plan_strips, "plan_depth_first", found.plan),
        patch.object(overlap_transfers, "overlap", found.overlap),
    ):
        yield found


@pytest.mark.parametrize(
    ("name", "target", "segments"),
    [
        ("resnet8", "npu", 1),
        ("resnet8", "npu,l1=16k,residency=false", 0),
        ("resnet8", "npu,imc_rows=1152,imc_bits=8", 1),
        ("dscnn", "npu", 0),
        ("mobilenetv1", "npu,l1=16k", 2),
    ],
)
def test_the_forecast_comes_true(name: str, target: str, segments: int) -> None:
    with seen() as found:
        compile_model(f"zoo:{name}", Options(target=target))
    assert found.chosen is not None and len(found.chosen) >= segments
    assert abs(found.judged[found.chosen] / found.total - 1) < 0.005
    assert found.judged[found.chosen] == min(found.judged.values())


@pytest.mark.parametrize("target", ["npu,buffers=1", "npu,dma_queue=1", "diana,l1_bytes=16k"])
def test_where_kernels_take_turns_their_sum_decides(target: str) -> None:
    with seen() as found:
        compile_model("zoo:resnet8", Options(target=target))
    assert found.chosen is not None and not found.judged


def test_without_overlap_the_sum_decides() -> None:
    with seen() as found:
        compile_model("zoo:resnet8", Options(target="npu", overlap=False))
    assert found.chosen == frozenset() and not found.judged
    strips = [step for step in default_passes(overlap=False) if isinstance(step, PlanStrips)]
    assert [step.overlap for step in strips] == [False]
