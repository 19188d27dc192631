"""The tables the command line prints, from the JSON report and the target's literal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from htvm_ir.targets.target import Target

CPU = "cpu"
"""What the report calls the engine of host kernels."""

Report = Mapping[str, Any]


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Aligned columns; the columns in ``right`` are aligned to the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        aligned = (c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True)))
        return "  ".join(aligned).rstrip()

    return "\n".join([line(header), line(["-" * w for w in widths]), *map(line, rows)])


def layers(report: Report, measured: Mapping[str, int] | None = None) -> str:
    """One row a kernel: where it runs and what it costs, and whether it reads from and writes to local memory directly.

    ``measured`` adds cycles seen on the virtual SoC.
    """
    rows: list[list[str]] = []
    known = {layer["kernel"] for layer in report["layers"]}
    for layer in report["layers"]:
        tile = layer["tile"]
        row = [
            layer["name"] if layer.get("rows") is None else "{}[{}:{}]".format(layer["name"], *layer["rows"]),
            layer["op"],
            "x".join(map(str, layer["shape"][1:])),
            layer["engine"],
            f"{layer['macs']:,}",
            f"{layer['cycles']:,}",
        ]
        if measured is not None:
            row.append(f"{measured.get(layer['kernel'], 0):,}")
        sizes = [] if tile is None else [f"{name}={size}" for name, size in tile.items()]
        row.append(" ".join([*sizes, *filter(None, [layer["mapping"]])]))
        rows.append([*row, _stays(layer["resident"]), layer["reason"] or ""])
    total = ["total", "", "", "", f"{sum(layer['macs'] for layer in report['layers']):,}"]
    total.append(f"{report['cycles']['predicted']:,}")
    header = ["layer", "op", "shape", "engine", "MACs", "predicted"]
    if measured is not None:
        header.append("cycles")
        total.append(f"{sum(c for name, c in measured.items() if name in known):,}")
    header += ["tile", "stays", "reason"]
    return table(header, [*rows, [*total, "", "", ""]], right=(4, 5, *([6] if measured else [])))


def _stays(resident: Sequence[str]) -> str:
    """Which operands lie in local memory from one kernel to the next: in, out or both."""
    ways = ("in" if any(name.startswith("input") for name in resident) else "", "out" if "output" in resident else "")
    return " ".join(filter(None, ways))


def totals(report: Report) -> str:
    """Multiply-accumulates, memories and arenas."""
    lines = ["", macs(report), *orientation(report)]
    if (refused := report.get("strips_refused")) is not None:
        lines.append(f"no strips of rows: with them {refused['memory']} lacks {refused['missing']:,} bytes")
    for name, memory in report["memory"].items():
        verdict = "fits" if memory["fits"] else "DOES NOT FIT"
        arena = report["arena"].get(name)
        note = ""
        if arena is not None:
            proof = "proven minimal" if arena["proven_minimal"] else f"lower bound {arena['lower_bound']:,}"
            note = f", arena {arena['bytes']:,} ({proof})"
        lines.append(f"{name}: {memory['used']:,} of {memory['size']:,} bytes{note}: {verdict}")
    lines.append(f"weights: {report['weights_bytes']:,} bytes; compiled in {report['compile_seconds']:.2f} s")
    return "\n".join(lines)


TURNS = {"swapped": "height and width are swapped", "mirrored": "maps are mirrored"}
"""What ``orient-maps`` may do, in words."""


def orientation(report: Report) -> list[str]:
    """How maps are stored otherwise than the model has them, and what that saves."""
    return [f"{TURNS[turn]}: saves {cycles:,} cycles (predicted)" for turn, cycles in report["orientation"].items()]


def macs(report: Report) -> str:
    """What folding dead channels left to be computed; zeros that grow a kernel for an engine count as well."""
    counts = report["macs"]
    return f"MACs: {counts['network']:,} in the network, {counts['executed']:,} executed"


def run(report: Report) -> str:
    """What one inference took on the virtual SoC, and the checks."""
    cycles, transfers = report["cycles"], report["transfers"]
    macs = sum(layer["macs"] for layer in report["layers"])
    lines = [
        f"one inference on the virtual SoC (a model): {cycles['per_inference']:,} cycles, "
        f"{report['latency_ms']} ms, {macs / max(1, cycles['per_inference']):.1f} MAC/cycle",
        f"CPU: {cycles['cpu']:,} cycles, {report['instructions']:,} instructions",
    ]
    for name, engine in report["engines"].items():
        lines.append(f"{name}: {engine['busy_cycles']:,} cycles in {engine['jobs']:,} jobs")
    lines.append(
        f"transfers: {transfers['cycles']:,} cycles, {transfers['bytes']:,} bytes in {transfers['count']:,} pieces"
    )
    lines.append(f"code: {report['code_bytes']:,} bytes; stack: {report['stack_bytes']:,} bytes")
    if "check" in report:
        lines += _checks(report["check"])
    if report["numerics"] != "exact":
        lines.append(_approximated(report))
    if "output_error" in report:
        lines.append(_output_error(report))
    return "\n".join(lines)


def _approximated(report: Report) -> str:
    names = ", ".join(report["approximated"])
    return f"approximated: {names or 'nothing, since all is computed exactly at least as fast'}"


def _output_error(report: Report) -> str:
    error = report["output_error"]
    return (
        f"output error against the exact result: {error['samples']} samples, {error['wrong']} of {error['values']} "
        f"values differ, by {error['max_abs']} at most and {error['mean_abs']} on average; the greatest output is the "
        f"same in {error['argmax_agreement']:.1%}"
    )


def _checks(check: Report) -> list[str]:
    lines: list[str] = []
    if check["samples"]:
        lines.append(
            f"check: {check['samples']} samples, {check['interpreter_mismatches']} values differ from the interpreter"
        )
        if check["reference"]:
            allowed = f", {check['tolerance']} allowed" if check["tolerance"] else ""
            by = f" by at most {check['max_abs_diff']}{allowed}" if check["mismatches"] else ""
            lines[-1] += f", {check['mismatches']} from '{check['reference']}'{by}"
    if check["layers_checked"]:
        lines.append(
            f"layers: {check['layers_checked']} compared, {check['layer_mismatches']} differ, "
            f"{check['layers_skipped']} fused into others"
        )
    if check["accuracy"] is not None:
        lines.append(f"accuracy: {check['accuracy']:.2%}")
    return lines


def quantization(report: Report) -> str:
    """What a conversion to DIANA's number format chose for each layer, and what it cost on the calibration data."""
    header = ["layer", "op", "scale", "offset", "weight scale", "shift", "clip", "SNR dB"]
    rows: list[list[str]] = []
    for layer in report["layers"]:
        weights = layer["weight_exponent"]
        rows.append(
            [
                layer["name"],
                layer["op"],
                f"2^{layer['exponent']}",
                str(layer["offset"] or ""),
                "" if weights is None else f"2^{weights}",
                str(layer["shift"] or ""),
                "..".join(map(str, layer["clip"])),
                "exact" if layer["snr_db"] is None else f"{layer['snr_db']:.1f}",
            ]
        )
    lines = [table(header, rows, right=(2, 3, 4, 5, 7)), ""]
    lines += [f"input {name}: scale {scale:g}" for name, scale in report["input_scales"].items()]
    lines.append(f"channels equalised: {'yes' if report['equalised'] else 'no, it did not help'}")
    if report["left_to_caller"]:
        lines.append(f"left to the caller: {', '.join(report['left_to_caller'])}; outputs are what it would read")
    cost = f"on {report['samples']} calibration samples: outputs differ from the float network's by "
    lines.append(f"{cost}{report['relative_error']:.2%} of their size")
    if report["agreement"] is not None:
        lines[-1] += f", the largest output is the same in {report['agreement']:.1%}"
    return "\n".join(lines)


def reasons(report: Report) -> str:
    """Each op's engine, its predicted cycles wherever it could run, and why the other engines refuse it."""
    engines = list(dict.fromkeys(name for layer in report["layers"] for name in (*layer["refused"], *layer["costs"])))
    engines.sort(key=lambda name: name == CPU)
    rows = [
        [
            layer["name"],
            layer["op"],
            layer["engine"],
            *(f"{layer['costs'][name]:,}" if name in layer["costs"] else "" for name in engines),
            "; ".join(f"{name}: {reason}" for name, reason in layer["refused"].items())
            or (layer["reason"] if layer["op"] == "external" else ""),
        ]
        for layer in report["layers"]
        if layer.get("rows") is None or layer["rows"][0] == 0
    ]
    header = ["layer", "op", "runs on", *(f"on {name}" for name in engines), "refusals"]
    text = "\n".join([table(header, rows, right=range(3, 3 + len(engines))), *orientation(report)])
    if "output_error" in report:
        return f"{text}\n\n{_approximated(report)}\n{_output_error(report)}, by interpreter on random inputs"
    return text if report["numerics"] == "exact" else f"{text}\n\n{_approximated(report)}"


def names(described: Mapping[str, str]) -> str:
    """Names and what they are."""
    width = max((len(name) for name in described), default=0)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in described.items())


def target_facts(target: Target) -> dict[str, Any]:
    """A target's literal as plain data."""
    return {
        "name": target.name,
        "description": target.description,
        "clock_hz": target.clock_hz,
        "memories": [asdict(memory) for memory in target.memories],
        "channels": [asdict(channel) for channel in target.channels],
        "engines": [
            {"name": e.name, "does": (e.__doc__ or "").split("\n")[0], "local": e.local, "constants": e.constants}
            for e in target.engines
        ],
        "host": _plain(asdict(target.host)),
        "virtual_soc": target.soc is not None,
        "parameters": dict(target.parameters),
    }


def _plain(value: Any) -> Any:
    """With text for the tuples that are keys, as JSON wants it."""
    if not isinstance(value, Mapping):
        return value
    entries = cast(Mapping[Any, Any], value)
    return {" ".join(key) if isinstance(key, tuple) else key: _plain(entry) for key, entry in entries.items()}


def target(facts: Report) -> str:
    """A target's literal for people."""
    lines = [f"{facts['name']}: {facts['description']}", f"clock: {facts['clock_hz'] / 1e6:g} MHz", ""]
    for part in ("memories", "channels", "engines"):
        rows = [[str(value) for value in entry.values()] for entry in facts[part]]
        if rows:
            lines += [table([name.replace("_", " ") for name in facts[part][0]], rows), ""]
    lines.append("parameters:")
    lines += [f"  {name} = {value}" for name, value in facts["parameters"].items()]
    return "\n".join(lines)
