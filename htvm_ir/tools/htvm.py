"""The command line ``htvm``: arguments, errors and exit codes. What the commands do is in ``commands``."""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import re
import sys
from collections.abc import Sequence

from htvm_ir.errors import HtvmError

RARELY = 200_000
"""Objects made between two looks for garbage (model choice)."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; exit code 2."""

    def error(self, message: str) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (try {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 fine, 1 the input or the check failed, 2 wrong usage."""
    top = parser()
    options = top.parse_args(arguments)
    if arguments is None:
        _tune_process(options.command)
    if options.command == "zoo" and (options.name is None) != (options.output is None):
        top.error("zoo NAME -o FILE writes a network; without both it lists them")
    if options.command in ("compile", "run", "explain") and (options.numerics == "pow2") != bool(options.calibration):
        top.error("--numerics=pow2 and --calibration X.npz go together")
    if options.command == "compile" and options.format == "mlf" and options.output is None:
        top.error("--format=mlf writes a file: give it with -o X.tar")
    try:
        from htvm_ir.tools import commands

        code = getattr(commands, options.command)(options)
        sys.stdout.flush()
        return code
    except HtvmError as error:
        print(f"htvm: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # the reader of our output has gone; keep the interpreter from complaining at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, MemoryError) as error:
        print(f"htvm: the system refused: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("htvm: interrupted", file=sys.stderr)
        return 130


def _tune_process(command: str) -> None:
    """Settings of the whole process that take a quarter off a compilation.

    Nearly all objects live until the end, so garbage is looked for rarely, and left to the system in the end. What a
    compiler multiplies are small matrices, for which threads are slower to start than the product is to compute.
    """
    gc.set_threshold(RARELY)
    atexit.register(gc.freeze)
    if command in ("compile", "explain"):
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def parser() -> Parser:
    """All commands and options."""
    top = Parser(prog="htvm", description="Compile quantised ONNX networks for heterogeneous TinyML chips.")
    top.add_argument("--version", action=_Version, help="versions of this package and of what it builds on")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    compile_ = commands.add_parser("compile", help="write C, headers and a report")
    run = commands.add_parser("run", help="compile, build, run on the virtual SoC, check")
    explain = commands.add_parser("explain", help="every op: engine or CPU, and why")
    for command in (compile_, run, explain):
        _add_model_options(command)
    _add_output_options(compile_)
    _add_run_options(run)

    quantize = commands.add_parser("quantize", help="convert a float or QDQ model to DIANA's number format")
    quantize.add_argument(
        "model", metavar="MODEL", help="an .onnx file: float, or with QuantizeLinear/DequantizeLinear"
    )
    quantize.add_argument("--calibration", required=True, metavar="X.npz", help="inputs to convert on")
    _add_calibration_samples(quantize)
    quantize.add_argument("-o", "--output", required=True, metavar="OUT.onnx", help="where to write the integer net")
    quantize.add_argument("--json", action="store_true", help="print one JSON object")

    bench = commands.add_parser("bench", help="measure networks: CPU only and compiled, against the limit")
    bench.add_argument("models", nargs="*", metavar="MODEL", help=".onnx files or zoo:NAME (default: MLPerf Tiny's)")
    bench.add_argument("--target", default="diana", metavar="NAME[,PARAMETER=VALUE...]", help="default: diana")
    bench.add_argument("--samples", type=_count, default=1, metavar="N", help="inputs to check on (default: 1)")
    bench.add_argument("--figures", metavar="DIR", help="draw layers and a MODEL's time diagram as SVG instead")
    bench.add_argument("--json", action="store_true", help="print one JSON object")

    _add_inspect(commands.add_parser("inspect", help="what is in an archive in TVM's Model Library Format"))
    targets = commands.add_parser("targets", help="what targets there are, or what one is made of")
    targets.add_argument("name", nargs="?", help="print this one's memories, engines and parameters")
    targets.add_argument("--json", action="store_true", help="print one JSON object")
    ops = commands.add_parser("ops", help="the ONNX operators there are, their conditions and engines")
    ops.add_argument("--target", default="diana", help="whose engines (default: diana)")
    ops.add_argument("--json", action="store_true", help="print one JSON object")
    ops.add_argument("--markdown", action="store_true", help="print the page of the documentation")
    zoo = commands.add_parser("zoo", help="list the built-in networks, or write one as ONNX")
    zoo.add_argument("name", nargs="?", help="the network to write")
    zoo.add_argument("-o", "--output", metavar="FILE", help="where to write it")
    return top


def _add_model_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help="an .onnx file, zoo:NAME, or (run) a compiled folder")
    command.add_argument(
        "--target", default="diana", metavar="NAME[,PARAMETER=VALUE...]", help="see htvm targets (default: diana)"
    )
    command.add_argument("--engines", help="comma-separated engines that may be used, or none")
    command.add_argument(
        "--io",
        default="integer",
        choices=("integer", "float"),
        help="leave float inputs and outputs to the caller as integers (default), or compute them too, by the fallback",
    )
    command.add_argument(
        "--fallback",
        choices=("tvm", "none"),
        help="who compiles operators for the CPU that htvm does not implement (default: tvm if it is installed)",
    )
    command.add_argument("--calibration", metavar="X.npz", help="inputs on which --numerics=pow2 converts the model")
    _add_calibration_samples(command)
    command.add_argument(
        "--rounding",
        default="onnx",
        choices=("onnx", "tflite"),
        help="whose results a QDQ or QOperator network has: onnxruntime's (default) or TFLite's reference kernels'",
    )
    command.add_argument(
        "--numerics",
        default="exact",
        choices=("exact", "pow2", "analog"),
        help="exact; pow2: convert the model on --calibration data; analog: ternary convolutions may go through "
        "converters that clip (the latter two report the error)",
    )
    command.add_argument(
        "--input-range",
        action="append",
        default=[],
        metavar="NAME=LO:HI",
        help="integers an unquantised input holds",
    )
    command.add_argument(
        "--tiler",
        default="optimal",
        choices=("optimal", "dory", "htvm", "none"),
        help="who plans: the cost model's optimum (default); dory: HTVM's rules for each layer; htvm: the same, with "
        "what HTVM leaves to the CPU left there; none: dory without its heuristics",
    )
    command.add_argument(
        "--no-overlap", action="store_true", help="every kernel ends before the next one begins, to compare"
    )
    command.add_argument(
        "--no-depth-first",
        action="store_true",
        help="no kernels one after the other on strips of large maps, to compare",
    )
    command.add_argument("--plan", metavar="FILE", help="JSON: kernel or layer name -> tile sizes by dimension")
    command.add_argument("--solver-seconds", type=_seconds, metavar="S", help="limit of each solver run")
    command.add_argument("--no-cache", action="store_true", help="neither use nor keep results of earlier compilations")
    _add_interface_options(command)
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument("-v", "--verbose", action="store_true", help="show the passes and their times")


def _add_interface_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("interface in C, as TVM's ahead-of-time executor has it")
    group.add_argument(
        "--module-name",
        type=_identifier,
        default="default",
        metavar="M",
        help="functions are tvmgen_M_...: give each network of an image another (default: default)",
    )
    group.add_argument(
        "--interface",
        default="c",
        choices=("c", "packed"),
        help="tvmgen_M_run takes structs of pointers (default), or TVMValues that hold DLTensors",
    )
    group.add_argument(
        "--workspace",
        default="static",
        choices=("static", "backend", "pools"),
        help="where buffers between kernels lie: in arrays of the package (default), in memory from "
        "TVMBackendAllocWorkspace, or in pools that the caller gives",
    )
    group.add_argument(
        "--pool-name",
        action="append",
        default=[],
        metavar="MEMORY=NAME",
        help="what the struct of pools calls the one in a memory (default: the memory's name in lower case)",
    )
    group.add_argument(
        "--device-hooks",
        action="store_true",
        help="call the application's TVMDevice<Name>Activate, Open, Close and Deactivate where an engine is used",
    )


def _add_output_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-o", "--output", metavar="OUT", help="folder, or with --format=mlf file, for the package (none: only report)"
    )
    command.add_argument(
        "--format",
        default="folder",
        choices=("folder", "mlf"),
        help="a folder with a Makefile (default), or a tar in TVM's Model Library Format",
    )


def _add_inspect(command: argparse.ArgumentParser) -> None:
    command.add_argument("archive", metavar="X.tar", help="an archive of htvm compile --format=mlf, or of TVM")
    command.add_argument("--json", action="store_true", help="print one JSON object")


def _add_calibration_samples(command: argparse.ArgumentParser) -> None:
    command.add_argument("--calibration-samples", type=_count, metavar="N", help="only the first N calibration samples")


def _add_run_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--input", default="random", metavar="X.npz|random[:SEED]", help="default: random")
    command.add_argument("--samples", type=_count, metavar="N", help="only the first N samples (random: 1)")
    command.add_argument("--check", action="store_true", help="compare outputs with interpreter and reference")
    command.add_argument(
        "--tolerance",
        type=_steps,
        default=0,
        metavar="N",
        help="steps that outputs may be off the reference (default: 0)",
    )
    command.add_argument("--check-layers", action="store_true", help="compare every kernel's result as well")
    command.add_argument("--layers", metavar="Y.npz", help="stored tensors of sample 0 to compare with")
    command.add_argument("--outputs", metavar="Y.npz", help="save the outputs")
    command.add_argument(
        "--analog-noise",
        type=_noise,
        metavar="SIGMA[,SEED]",
        help="error of the analog converters in their steps, normally distributed (reports the output error)",
    )
    command.add_argument("--compiler", metavar="CC", help="C cross compiler (default: the packaged clang)")


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,5}(\.\d+)?", text) or float(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return float(text)


def _noise(text: str) -> dict[str, float | int]:
    found = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)(?:,(\d{1,9}))?", text)
    if not found or float(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not SIGMA[,SEED], as in 0.5 or 0.5,1 (SIGMA above 0)")
    return {"analog_noise": float(found[1]), "analog_seed": int(found[2] or 0)}


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return int(text)


def _steps(text: str) -> int:
    if not re.fullmatch(r"\d{1,3}", text):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of steps")
    return int(text)


def _identifier(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", text):
        raise argparse.ArgumentTypeError(f"{text} must be lower-case letters, digits and _")
    return text


class _Version(argparse.Action):
    """Prints the versions that matter for a bug report."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: str):
        super().__init__(option_strings, dest, nargs=0, help=options.get("help"))

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        from htvm_ir.fallback import is_installed

        names = ["htvm-ir", "xdsl", "onnx", "numpy", "ortools", "ziglang", "unicorn"]
        names += ["apache-tvm"] if is_installed() else []
        print("\n".join(f"{name} {version(name)}" for name in names))
        parser.exit(0)
