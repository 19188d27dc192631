"""``python -m benchmarks.host_costs``: measure the CPU's kernels on the virtual DIANA and fit what they cost.

Prints predicted over measured for the constants the package has, and with ``--refit`` the literal for
``htvm_ir/targets/diana/host_costs.py``. The model is linear, with costs of at least 0 and the least relative error.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.host_kernels import ANALOG, COMPACT, DIGITAL, ROWS, Case, Measured, measure
from htvm_ir.targets.diana.host import COLUMNS, WINDOWED, LoopCosts, clips, counts, key_of
from htvm_ir.targets.diana.host_costs import CLIP
from htvm_ir.targets.diana.target import diana

Floats = NDArray[np.float64]

ENDS = ((ROWS, ROWS), (ROWS, DIGITAL), (DIGITAL, ROWS), (DIGITAL, DIGITAL), (ANALOG, DIGITAL), (DIGITAL, ANALOG),
        (ANALOG, ANALOG), (ANALOG, ROWS), (ROWS, ANALOG))  # fmt: skip
NARROW_ENDS = ((COMPACT, DIGITAL), (DIGITAL, COMPACT), (COMPACT, COMPACT))
PLAIN = ((32, 8, 8), (16, 16, 16), (64, 25, 5), (128, 3, 3), (16, 32, 32), (32, 12, 12), (256, 1, 1), (64, 4, 4),
         (16, 7, 7), (8, 17, 17), (4, 30, 30), (16, 20, 20), (16, 10, 10), (4, 48, 48), (16, 9, 24),
         (16, 3, 3), (63, 5, 25), (13, 9, 9), (8, 8, 8))  # fmt: skip
MAXIMA = ((32, 8, 8), (16, 16, 16), (64, 6, 6), (16, 32, 32), (4, 48, 48), (16, 34, 34), (16, 20, 20), (8, 26, 10))
AVERAGES = ((256, 1, 1), (64, 8, 8), (64, 25, 5), (64, 5, 25), (256, 3, 3), (16, 16, 16), (128, 7, 7), (32, 6, 10),
            (16, 3, 3), (64, 3, 3), (32, 2, 2), (8, 8, 8), (16, 4, 4), (64, 4, 4), (24, 12, 12),
            (16, 5, 25))  # fmt: skip
PIXELS = ((1, 49, 10), (1, 10, 49), (3, 32, 32), (1, 24, 24), (3, 11, 15), (3, 64, 64), (2, 20, 20), (1, 98, 40),
          (1, 16, 16), (3, 24, 40), (1, 40, 98), (2, 30, 37))  # fmt: skip
EDGES = ((3, 96, 96), (3, 32, 32), (1, 49, 10), (1, 10, 49), (1, 28, 28), (3, 40, 40), (2, 30, 37))
VECTORS = (10, 12, 33, 400, 64, 128, 256, 640)
CONVS = (
    ((3, 32, 32), 8, (3, 3), 1), ((16, 8, 8), 16, (3, 3), 1), ((32, 10, 10), 16, (3, 3), 2),
    ((16, 16, 16), 8, (5, 5), 1), ((64, 4, 4), 32, (3, 3), 1), ((4, 49, 10), 8, (7, 5), 2),
    ((32, 8, 8), 32, (1, 1), 1), ((64, 25, 5), 16, (1, 1), 1), ((64, 1, 1), 64, (1, 1), 1),
    ((8, 16, 24), 64, (1, 1), 2), ((16, 24, 24), 8, (1, 1), 1), ((128, 6, 6), 16, (1, 1), 1),
)  # fmt: skip
DEPTHWISE = (
    ((8, 32, 32), (3, 3), 1), ((32, 12, 12), (3, 3), 1), ((16, 24, 24), (3, 3), 2), ((64, 25, 5), (3, 3), 1),
    ((256, 1, 1), (3, 3), 1), ((128, 3, 3), (3, 3), 1), ((16, 10, 10), (5, 5), 1), ((64, 4, 4), (3, 3), 1),
)  # fmt: skip
DENSE = ((64, 10), (256, 2), (128, 64), (48, 16), (16, 128), (200, 20))
UNROLLED = (3, 4, 6, 8, 11, 12, 15, 16, 19, 23, 31, 47, 64, 128)
"""Lengths of loops up to which the C compiler may leave none."""
KINDS = ("add", "requant", "transpose")
BATCH = 4
CALL = 100
"""Most cycles of a call: what a fit makes more of is no such thing, and would count once for each chunk of a kernel."""
ELEMENT, LOOP = 24, 8
"""Most cycles of an element, and to enter a loop or write some padding, where there are no windows: what a fit to few
kernels makes of columns that go together would be far off for others. Rows are also what chunks have more of."""
NEGLIGIBLE = 100
"""Cycles below which a kernel is not worth a prediction."""


def cases() -> Iterator[list[Case]]:
    """What is measured, in networks of a few operators."""
    for source, reader in ENDS:
        found = [Case(kind, (1, *s), source=source, reader=reader) for kind in KINDS for s in PLAIN]
        found += [Case("depthwise", (1, *s), source=source, reader=reader) for s in PLAIN]
        found += [Case("max", (1, *s), 0, (2, 2), 2, source, reader) for s in MAXIMA]
        found += [Case("max", (1, 16, 16, 16), 0, (3, 3), 2, source, reader)]
        if reader in (source, ROWS):  # one output is enough where it hardly matters
            found += [Case("average", (1, *s), 0, (s[1], s[2]), 1, source, reader) for s in AVERAGES]
            found += [Case("average", (1, 32, 12, 12), 0, (4, 4), 4, source, reader)]
            found += [Case("conv2d", (1, *s), k, f, stride, source, reader) for s, k, f, stride in CONVS]
            found += [Case("depthwise", (1, *s), 0, f, stride, source, reader) for s, f, stride in DEPTHWISE]
        yield from (found[n : n + BATCH] for n in range(0, len(found), BATCH))
    found = [Case("", (1, *s), source=ANALOG, reader=DIGITAL) for s in PLAIN]
    found += [Case("", (1, *s), source=DIGITAL, reader=ROWS) for s in EDGES]
    found += [Case("", (1, n), source=DIGITAL, reader=ROWS) for n in VECTORS]
    for source, reader in ENDS:
        found += [Case("requant", (1, *s), source=source, reader=reader, positive=True) for s in PLAIN]
    for source in (ROWS, DIGITAL):
        found += [Case("average", (1, *s), 0, (s[1], s[2]), 1, source, ROWS, True) for s in AVERAGES]
        found += [Case("average", (1, 32, 12, 12), 0, (4, 4), 4, source, ROWS, True)]
    found += [Case("clamp", (1, *s), source=DIGITAL, reader=DIGITAL) for s in PLAIN]
    for source, reader in NARROW_ENDS:
        for s in (s for s in PLAIN if s[2] % 16):
            found += [Case(kind, (1, *s), source=source, reader=reader) for kind in ("clamp", "requant")]
            found += [Case("requant", (1, *s), source=source, reader=reader, positive=True)]
    found += [Case("space_to_depth", (1, *s), source=ROWS, reader=DIGITAL) for s in PIXELS]
    found += [Case("turned", (1, *s), source=ROWS, reader=DIGITAL) for s in PIXELS]
    found += [Case("reverse", (1, *s), source=ROWS, reader=DIGITAL) for s in (*PLAIN, *EDGES)]
    yield from (found[n : n + BATCH] for n in range(0, len(found), BATCH))
    for engine in (ROWS, DIGITAL):
        yield [Case("dense", (1, c), k, source=engine, reader=engine) for c, k in DENSE]


def grouped(measured: Sequence[Measured]) -> dict[str, list[Measured]]:
    """By what their cost depends on, each workload once; of vectors only conversions and products."""
    groups: dict[str, dict[object, Measured]] = defaultdict(dict)
    for m in measured:
        w = m.workload
        if (len(w.output.shape) == 4 and m.cycles >= NEGLIGIBLE) or w.kind in ("dense", "convert_layout"):
            shapes = (w.inputs[0].shape, w.output.shape, w.kernel, w.window, m.layouts, clips(w, m.layouts))
            groups[key_of(w, m.layouts)].setdefault(shapes, m)
    return {key: list(group.values()) for key, group in groups.items()}


def fit(group: Sequence[Measured]) -> LoopCosts:
    """The costs, and the length of unrolled loops, of the least relative error."""
    clipped = [CLIP * clips(m.workload, m.layouts) * m.workload.output.size for m in group]
    measured = np.array([m.cycles for m in group], np.float64) - np.array(clipped)
    fits: list[tuple[float, LoopCosts]] = []
    for unrolled in UNROLLED:
        rows = np.array([counts(m.workload, m.layouts, unrolled) for m in group], np.float64)
        most = {0: CALL, **dict.fromkeys(range(1, 5), ELEMENT), **dict.fromkeys(range(5, 8), LOOP)}
        if key_of(group[0].workload, group[0].layouts).rpartition(" ")[0] in WINDOWED:
            most = {0: CALL, 6: LOOP, 7: LOOP}
            rows[:, 4] = rows[:, 1:5].sum(axis=1)  # the windows cost far more than the loop around them
            rows[:, 1:4] = 0
        costs = _nonnegative(rows / measured[:, None], most)
        error = float(np.sqrt(np.square(rows @ costs / measured - 1).mean()))
        fits.append((error, LoopCosts(unrolled, _complete(costs, rows))))
    return min(fits, key=lambda pair: (round(pair[0], 3), pair[1].unrolled))[1]


def _nonnegative(rows: Floats, limits: Mapping[int, float]) -> Floats:
    """Costs of at least 0, of some columns at most ``limits``, with ``rows @ costs`` closest to 1.

    By coordinate descent on the normal equations.
    """
    scale = np.maximum(np.linalg.norm(rows, axis=0), 1e-30)
    normalised, most = rows / scale, np.full(rows.shape[1], np.inf)
    for column, limit in limits.items():
        most[column] = limit * scale[column]
    gram, target = normalised.T @ normalised, normalised.sum(axis=0)
    costs = np.zeros(rows.shape[1])
    for _ in range(20_000):
        before = costs.copy()
        for n in np.flatnonzero(gram.diagonal() > 0):
            costs[n] = min(most[n], max(0.0, costs[n] + target[n] - float(gram[n] @ costs)))
        if np.abs(costs - before).max() < 1e-9 * np.abs(costs).max():
            break
    return costs / scale


def _complete(costs: Floats, rows: Floats) -> tuple[float, ...]:
    """Rounded costs; loops of a kind that did not occur cost what the slowest that did costs."""
    seen = [bool(rows[:, n].any()) for n in range(rows.shape[1])]
    outputs = [costs[n] if seen[n] else costs[1:5].max() for n in range(1, 5)]
    return tuple(round(float(cost), 2) for cost in (costs[0], *outputs, *costs[5:]))


def literal(table: Mapping[str, LoopCosts]) -> str:
    """The costs as Python."""
    lines = [
        f"    {key!r}: LoopCosts({costs.unrolled}, {costs.cycles}),".replace("'", '"') for key, costs in table.items()
    ]
    return "\n".join(["HOST_COSTS: dict[str, LoopCosts] = {", *lines, "}"])


def report(groups: Mapping[str, Sequence[Measured]]) -> str:
    """Predicted over measured, by kind and orders."""
    host = diana().host
    lines = [f"{'kind, orders of input and output':<40}{'kernels':>8}{'least':>8}{'most':>8}{'within 25 %':>13}"]
    for key, group in sorted(groups.items()):
        ratios = [host.cycles(m.workload, m.layouts) / m.cycles for m in group]
        good = sum(0.8 <= ratio <= 1.25 for ratio in ratios)
        lines.append(f"{key:<40}{len(group):>8}{min(ratios):>8.2f}{max(ratios):>8.2f}{good:>9} of {len(group)}")
    return "\n".join(lines)


def main() -> None:
    """Measure, compare, and fit if asked."""
    parser = argparse.ArgumentParser(prog="benchmarks.host_costs", description=__doc__)
    parser.add_argument("--refit", action="store_true", help=f"print costs of {', '.join(COLUMNS)}")
    options = parser.parse_args()
    groups = grouped([m for batch in cases() for m in measure(batch)])
    print(literal({key: fit(groups[key]) for key in sorted(groups)}) if options.refit else report(groups))


if __name__ == "__main__":
    main()
