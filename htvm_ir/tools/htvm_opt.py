"""`htvm-opt`: xDSL's driver with every installed dialect, pass and target, and errors made for people.

The registration is xDSL's own: it reads the entry points of all installed packages, ours among them.
What this file adds is the contract of the command line: bad input is one diagnostic on stderr that
points at the text or the op and exit code 1, wrong usage is exit code 2, and `-o` is written only
when everything went well.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import IO, ClassVar, cast

from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.arg_spec import parse_spec
from xdsl.utils.exceptions import ArgSpecParseError, DiagnosticException, ParseError
from xdsl.utils.target import Target
from xdsl.xdsl_opt_main import xDSLOptMain

from htvm_ir.errors import HtvmError

_EXCERPT_WIDTH = 160
"""Columns of IR shown in a diagnostic: a weight constant is one line of a hundred kilobytes."""

_EXCERPT_CONTEXT = 2
"""Lines of IR shown above the op that is at fault."""


class UsageError(Exception):
    """The command line asks for something that does not exist: exit code 2."""


class _KeptText(io.StringIO):
    """Output that survives the `close` of xDSL's driver, so that it can be saved after success."""

    def close(self) -> None:
        pass


class HtvmOpt(xDSLOptMain):
    """xDSL's driver; raises HtvmError for unreadable input and UsageError for a bad pipeline."""

    version_format: ClassVar[str] = (
        f"htvm-opt {version('htvm-ir')} (xDSL {{xdsl_version}}, Python {sys.version.split()[0]})"
    )

    def __init__(self, args: Sequence[str] | None = None) -> None:
        self._kept = _KeptText()
        super().__init__("htvm_ir's modular optimizer driver: IR in, IR or C out", args)

    def setup_pipeline(self) -> None:
        """Builds the passes and tries the target's options, before any input is read."""
        try:
            super().setup_pipeline()
            self._check_target_options()
        except (ValueError, HtvmError) as error:
            raise UsageError(str(error)) from error

    def _check_target_options(self) -> None:
        spec = parse_spec(self.args.target)
        factory = self.available_targets[spec.name]
        if not signature(factory).parameters:  # xDSL's old style of target takes no options
            cast("Callable[[], type[Target]]", factory)().from_spec(spec)

    def prepare_input(self) -> tuple[list[tuple[IO[bytes], int]], str]:
        try:
            return super().prepare_input()
        except OSError as error:
            raise HtvmError(f"cannot read {self.get_input_name()}: {error.strerror}") from error
        except ValueError as error:
            raise HtvmError(
                f"{self.get_input_name()}: {error}; htvm-opt reads .mlir, "
                "or any name with `-f mlir` (for an ONNX file use `htvm compile`)"
            ) from error

    def parse_chunk(self, chunk: IO[bytes], file_extension: str, start_offset: int = 0) -> ModuleOp | None:
        """Parses; whatever xDSL's parser lets escape on malformed text is the text's fault."""
        try:
            return super().parse_chunk(chunk, file_extension, start_offset)
        except (ParseError, DiagnosticException):
            raise
        except RecursionError as error:
            raise HtvmError(f"{self.get_input_name()}: nested too deeply to parse") from error
        except Exception as error:
            raise HtvmError(f"{self.get_input_name()}: not valid IR: {error}") from error

    def prepare_output(self) -> IO[str]:
        return sys.stdout if self.args.output_file is None else self._kept

    def save_output(self) -> None:
        """Writes what `run` produced to the file named by `-o`, if there is one."""
        if self.args.output_file is None:
            return
        try:
            Path(self.args.output_file).write_text(self._kept.getvalue(), encoding="utf-8")
        except OSError as error:
            raise HtvmError(f"cannot write {self.args.output_file}: {error.strerror}") from error


def _excerpt(note: str) -> str:
    """Returns the lines around the marker `^^^---` that xDSL puts under the op at fault."""
    lines = note.splitlines()
    marker = re.compile(r"\s*\^+-*$")
    at = next((i for i, line in enumerate(lines) if marker.match(line)), None)
    if at is None:
        return ""
    last = at + 1
    while last < len(lines) and lines[last].lstrip().startswith("|"):
        last += 1
    first = max(0, at - 1 - _EXCERPT_CONTEXT)
    shown = lines[first:last]
    return "\n".join(line if len(line) <= _EXCERPT_WIDTH else line[: _EXCERPT_WIDTH - 4] + " ..." for line in shown)


def _describe(error: Exception) -> str:
    """Returns the message, and for an op at fault the op with the message under it."""
    excerpts = [_excerpt(note) for note in getattr(error, "__notes__", [])]
    return "\n".join(filter(None, [str(error).rstrip(), *excerpts]))


def _run(args: Sequence[str] | None) -> None:
    driver = HtvmOpt(args)
    try:
        driver.run()
    except DiagnosticException as error:
        raise HtvmError(f"{driver.get_input_name()}: {_describe(error)}") from error
    driver.save_output()


def main(args: Sequence[str] | None = None) -> int:
    """Runs the driver on `args` (default: the command line) and returns the exit code."""
    try:
        _run(args)
    except (HtvmError, ParseError) as error:
        print(f"htvm-opt: error: {error}", file=sys.stderr)
        return 1
    except (UsageError, ArgSpecParseError) as error:
        print(f"htvm-opt: usage: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader left (`htvm-opt ... | head`); the interpreter's own flush at exit must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
