"""The UMA backend. This module can be imported only where TVM has UMA; see the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from htvm_ir.errors import HtvmError
from htvm_ir.integrations.contracts import is_taken, kinds
from htvm_ir.integrations.forms import FORMS, pattern
from htvm_ir.integrations.kernels import Array
from htvm_ir.integrations.uma.bindings import UMA, module
from htvm_ir.integrations.uma.kernels import HEADER, UmaKernel, kernel_files, kernel_of
from htvm_ir.integrations.uma.reader import Patterns, Reader

NAME = "htvm"
_Base: Any = module(f"{UMA}.backend").UMABackend


class HtvmBackend(_Base):
    """Computes convolutions, dense layers and sums on the engines of a target.

    params: values of parameters of ``main`` by name (arrays, or TVM's); they must stay unbound in the module. Engines
    stream weights that are packed at compile time, so what they compute depends on these values. target: with settings,
    as ``--target``. engines: those to use, None = all.
    """

    def __init__(
        self,
        params: Mapping[str, Any],
        target: str = "diana",
        engines: tuple[str, ...] | None = None,
        merge_compiler_regions: bool = True,
    ):
        super().__init__(merge_compiler_regions)
        self.params: dict[str, Array] = {name: _array(value) for name, value in params.items()}
        self.target, self.engines = target, engines
        self.kernels: dict[str, UmaKernel] = {}
        self._register_patterns()
        self._register_passes()
        self._register_codegen(fmt="c", includes=lambda: f'#include "{HEADER}"\n')

    @property
    def target_name(self) -> str:
        """The name of the TVM target, and of the compiler in function attributes."""
        return NAME

    def files(self) -> dict[str, str]:
        """The C to compile beside TVM's: relative path -> text. There is none before ``partition``."""
        return kernel_files(list(self.kernels.values()), self.target)

    def write(self, folder: Path) -> None:
        """Write :meth:`files` into a folder."""
        for name, text in self.files().items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def _register_patterns(self) -> None:
        language, known = Patterns(), kinds(self.target, self.engines)
        for kind in FORMS:
            if kind in known:
                self._register_pattern(kind, pattern(language, kind), self._is_taken)

    def _register_passes(self) -> None:
        phases: Any = module(f"{UMA}.api.utils").PassPhase
        infer = module("tvm.relay").transform.InferType()
        # Predicates and kernels need types; not every version has inferred them by then.
        self._register_relay_pass(phases.PRE_PARTITIONING, infer)
        self._register_relay_pass(phases.POST_PARTITIONING_0, infer)
        module_pass: Callable[..., Any] = module("tvm").ir.transform.module_pass
        self._register_relay_pass(phases.POST_PARTITIONING_0, module_pass(self._compile_functions, opt_level=0))
        function_pass: Callable[..., Any] = module("tvm").tir.transform.prim_func_pass
        self._register_tir_pass(phases.TIR_PHASE_0, function_pass(self._call_kernel, opt_level=0))

    def _is_taken(self, expression: Any) -> bool:
        """The predicate of all patterns: whether an engine computes what was matched."""
        return is_taken(lambda: Reader(self.params).call(expression), self.target, self.engines)

    def _compile_functions(self, mod: Any, context: Any) -> Any:
        """Make a kernel of each function that is partitioned for us; the module stays as it is."""
        del context

        def visit(expression: Any) -> None:
            if type(expression).__name__ == "Call" and type(expression.op).__name__ == "GlobalVar":
                function = mod[expression.op]
                if "Compiler" in (function.attrs or {}) and function.attrs["Compiler"] == NAME:
                    kernel = kernel_of(function, expression.args, self.params, self.target, self.engines)
                    self.kernels[kernel.symbol] = kernel

        module("tvm.relay").analysis.post_order_visit(mod["main"].body, visit)
        return mod

    def _call_kernel(self, function: Any, mod: Any, context: Any) -> Any:
        """Replace the loops of a function by one call of its kernel.

        Raises:
            HtvmError: the function takes other tensors than the kernel.
        """
        del mod, context
        kernel = self.kernels.get(str(function.attrs["global_symbol"]))
        if kernel is None:
            return function
        buffers = [function.buffer_map[parameter] for parameter in function.params]
        types = tuple(str(buffer.dtype) for buffer in buffers)
        if types != kernel.parameters:
            raise HtvmError(
                f"{kernel.symbol}: TVM passes {', '.join(types)}, the kernel takes {', '.join(kernel.parameters)}; "
                "leave the network's parameters unbound"
            )
        tir = module("tvm").tir
        call = tir.call_extern("int32", kernel.name, *(buffer.data for buffer in buffers))
        return function.with_body(tir.Evaluate(call))


def _array(value: Any) -> Array:
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)
