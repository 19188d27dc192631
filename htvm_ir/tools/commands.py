"""What each command of ``htvm`` does."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from htvm_ir.backend.c.interface import Interface
from htvm_ir.backend.c.names import identifier
from htvm_ir.driver.compile import Compiled, Options, compile_model
from htvm_ir.driver.plans import read_plan
from htvm_ir.errors import HtvmError
from htvm_ir.report import tables
from htvm_ir.store import Store, default_folder, use

if TYPE_CHECKING:
    from htvm_ir.driver.cached import Package


ARCHIVE = "the archive"
"""What messages call the file of ``--format=mlf``."""


def options_of(arguments: argparse.Namespace) -> Options:
    """The compiler's options from those of the command line.

    Raises:
        HtvmError: a malformed range, pool name or plan file.
    """
    engines = None if arguments.engines is None else tuple(filter(None, arguments.engines.split(",")))
    if engines == ("none",):
        engines = ()
    return Options(
        target=arguments.target,
        engines=engines,
        numerics=arguments.numerics,
        module_name=arguments.module_name,
        tiler=arguments.tiler,
        overlap=not arguments.no_overlap,
        depth_first=not arguments.no_depth_first,
        solver_seconds=arguments.solver_seconds,
        plan=None if arguments.plan is None else read_plan(Path(arguments.plan)),
        rounding=arguments.rounding,
        input_ranges=dict(_range(text) for text in arguments.input_range),
        calibration=None if arguments.calibration is None else Path(arguments.calibration),
        calibration_samples=arguments.calibration_samples,
        fallback=arguments.fallback,
        io=arguments.io,
        interface=Interface(
            arguments.interface,
            arguments.workspace,
            arguments.device_hooks,
            tuple(_pool_name(text) for text in arguments.pool_name),
        ),
    )


def _range(text: str) -> tuple[str, tuple[int, int]]:
    found = re.fullmatch(r"(.+)=(-?\d{1,10}):(-?\d{1,10})", text)
    if found is None or int(found[2]) > int(found[3]):
        raise HtvmError(f"--input-range {text}: expected NAME=LO:HI with LO <= HI, as in input=-128:127")
    return found[1], (int(found[2]), int(found[3]))


def _pool_name(text: str) -> tuple[str, str]:
    memory, _, name = text.partition("=")
    if not memory or identifier(name) != name:
        raise HtvmError(f"--pool-name {text}: expected MEMORY=NAME with a name that C allows, as in L2=sram")
    return memory, name


def compile(arguments: argparse.Namespace) -> int:
    """``htvm compile``."""
    from htvm_ir.driver.cached import compile_package
    from htvm_ir.driver.files import check_file
    from htvm_ir.driver.folder import check_writable, report_text

    out = None if arguments.output is None else Path(arguments.output)
    if out is not None and arguments.format == "mlf":
        check_file(out, ARCHIVE)
    elif out is not None:
        check_writable(out)
    package = compile_package(
        arguments.model, options_of(arguments), _store(arguments), out is not None, _watch(arguments)
    )
    if package.cached and arguments.verbose:
        print("as compiled before; --no-cache compiles anew", file=sys.stderr)
    if out is not None:
        _write(package, out, arguments.format)
    if arguments.json:
        print(report_text(package.report), end="")
        return 0
    _print_conversion(package.report)
    print(tables.layers(package.report))
    print(tables.totals(package.report))
    if out is not None:
        print(f"written to {out}")
    return 0


def _write(package: Package, out: Path, form: str) -> None:
    """Write a package in the form the user wants."""
    if form == "mlf":
        from htvm_ir.driver.files import write_file
        from htvm_ir.driver.mlf import export

        write_file(out, export(package.files, package.report), ARCHIVE)
    else:
        from htvm_ir.driver.folder import write_package

        write_package(package.files, out)


def _print_conversion(report: dict[str, Any]) -> None:
    if "quantization" in report:
        print(tables.quantization(report["quantization"]), end="\n\n")


def _store(arguments: argparse.Namespace) -> Store | None:
    """Where results are kept, unless the user does not want it."""
    return None if arguments.no_cache else Store(default_folder())


def _watch(arguments: argparse.Namespace) -> Callable[[str, float], None] | None:
    """``-v``: every pass and its seconds, on standard error."""
    if not arguments.verbose:
        return None
    return lambda name, seconds: print(f"{seconds:7.3f} s  {name}", file=sys.stderr)


def run(arguments: argparse.Namespace) -> int:
    """``htvm run``."""
    from htvm_ir.driver.edges import edges
    from htvm_ir.driver.execute import OUTPUTS, execute, write_outputs
    from htvm_ir.driver.files import check_file
    from htvm_ir.driver.folder import report_text
    from htvm_ir.driver.package import load_package
    from htvm_ir.driver.samples import load_samples, read_npz

    out = None if arguments.outputs is None else Path(arguments.outputs)
    if out is not None:
        check_file(out, OUTPUTS)
    layers = None if arguments.layers is None else read_npz(Path(arguments.layers))

    if Path(arguments.model).is_dir():
        _refuse_compile_options(arguments)
        compiled, module_name = load_package(Path(arguments.model))
    else:
        compiled, module_name = _compile(arguments), arguments.module_name
    inputs, outputs = edges(compiled.module)
    prepare = None if compiled.quantized is None else compiled.quantized.real_arrays
    samples = load_samples(arguments.input, inputs, outputs, arguments.samples, prepare)
    execution = execute(
        compiled,
        module_name,
        samples,
        check=arguments.check,
        check_layers=arguments.check_layers or layers is not None,
        layers=layers,
        tolerance=arguments.tolerance,
        compiler=arguments.compiler,
        parameters=arguments.analog_noise,
        progress=_progress(len(samples)),
    )
    report = compiled.report | execution.report
    report["cycles"] = compiled.report["cycles"] | execution.report["cycles"]
    report["input_edge"] = samples.edge
    if out is not None:
        write_outputs(out, execution.outputs, [edge.name for edge in outputs])
    if arguments.json:
        print(report_text(report), end="")
    else:
        _print_conversion(report)
        print(tables.layers(report, execution.layer_cycles))
        print(tables.totals(report))
        print(tables.run(report))
    check = execution.check
    if check is not None and check.failed:
        print(f"htvm: the check failed: {check.first}", file=sys.stderr)
        return 1
    return 0


def _refuse_compile_options(arguments: argparse.Namespace) -> None:
    """A compiled folder is run as it is."""
    defaults = {
        "engines": None,
        "tiler": "optimal",
        "plan": None,
        "solver_seconds": None,
        "input_range": [],
        "rounding": "onnx",
        "numerics": "exact",
        "calibration": None,
        "interface": "c",
        "workspace": "static",
        "device_hooks": False,
        "pool_name": [],
    }
    for name, default in defaults.items():
        if getattr(arguments, name) != default:
            option = "--" + name.replace("_", "-")
            raise HtvmError(f"{arguments.model}: is compiled already, {option} comes too late; name the model instead")


def _compile(arguments: argparse.Namespace) -> Compiled:
    with use(_store(arguments)):
        return compile_model(arguments.model, options_of(arguments), _watch(arguments))


def _progress(total: int) -> Callable[[int], None] | None:
    """A counter on a terminal, nothing in a pipe."""
    if total < 2 or not sys.stderr.isatty():
        return None
    return lambda done: print(f"\r{done}/{total} samples", end="\n" if done == total else "", file=sys.stderr)


def explain(arguments: argparse.Namespace) -> int:
    """``htvm explain``."""
    from htvm_ir.driver.folder import report_text
    from htvm_ir.driver.output_error import approximation_error

    compiled = _compile(arguments)
    error = approximation_error(compiled)
    report = compiled.report if error is None else compiled.report | {"output_error": error.as_json()}
    if arguments.json:
        print(report_text(report), end="")
    else:
        print(tables.reasons(report))
        print(tables.macs(report))
    return 0


def bench(arguments: argparse.Namespace) -> int:
    """``htvm bench``."""
    if arguments.figures is not None:
        from htvm_ir.tools.figures import figures

        return figures(arguments)
    from htvm_ir.tools.bench import bench as measure

    return measure(arguments)


def inspect(arguments: argparse.Namespace) -> int:
    """``htvm inspect``."""
    from htvm_ir.driver.archive import read_archive
    from htvm_ir.report import archives

    facts = read_archive(Path(arguments.archive))
    print(json.dumps(facts, indent=2) if arguments.json else archives.text(facts))
    return 0


def targets(arguments: argparse.Namespace) -> int:
    """``htvm targets``."""
    from htvm_ir.targets.registry import load_target, target_names

    if arguments.name is None:
        listed = {name: load_target(name).description for name in target_names()}
        print(json.dumps(listed, indent=2) if arguments.json else tables.names(listed))
        return 0
    target = load_target(arguments.name)
    facts = tables.target_facts(target)
    print(json.dumps(facts, indent=2) if arguments.json else tables.target(facts))
    return 0


def ops(arguments: argparse.Namespace) -> int:
    """``htvm ops``."""
    from htvm_ir.report import operators
    from htvm_ir.targets.registry import load_target

    target = load_target(arguments.target)
    if arguments.json:
        print(json.dumps({"target": target.name, "conventions": operators.facts(target)}, indent=2))
    else:
        print(operators.markdown(target) if arguments.markdown else operators.text(target))
    return 0


def quantize(arguments: argparse.Namespace) -> int:
    """``htvm quantize``."""
    from htvm_ir.driver.files import check_file, write_file
    from htvm_ir.driver.quantize import quantize_model

    out, what = Path(arguments.output), "the model"
    check_file(out, what)
    found = quantize_model(arguments.model, Path(arguments.calibration), arguments.calibration_samples)
    write_file(out, found.model.SerializeToString(), what)
    if arguments.json:
        print(json.dumps(found.report, indent=2))
        return 0
    print(tables.quantization(found.report))
    print(f"written to {out}")
    return 0


def zoo(arguments: argparse.Namespace) -> int:
    """``htvm zoo``."""
    from htvm_ir import zoo as networks
    from htvm_ir.driver.files import write_file

    if arguments.name is None:
        print(tables.names({name: networks.describe(name) for name in networks.names()}))
        return 0
    model: Any = networks.build(arguments.name)
    out = Path(arguments.output)
    write_file(out, model.SerializeToString(), "the model")
    print(f"written to {out}")
    return 0
