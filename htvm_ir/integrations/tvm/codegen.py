"""A partitioned Relax function as a C module that runs in the Relax VM of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xdsl.dialects.builtin import ModuleOp

from htvm_ir.backend.c.signature import Boundary
from htvm_ir.errors import HtvmError
from htvm_ir.integrations.host import single_file
from htvm_ir.integrations.kernels import Activation, read_kernel
from htvm_ir.integrations.network import Network
from htvm_ir.integrations.requantisation import Refused
from htvm_ir.integrations.tvm.bindings import tvm
from htvm_ir.integrations.tvm.partitioner import ENGINES, TARGET
from htvm_ir.integrations.tvm.reader import Reader

HEAD = """\
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <tvm/ffi/c_api.h>

#ifdef __cplusplus /* export_library gives C to g++ if it finds it */
#define _Alignas(bytes) __attribute__((aligned(bytes)))
#define restrict __restrict__
extern "C++" int32_t tvmgen_{symbol}___tvm_main__({untyped}); /* C converts these by itself */
extern "C" {{
#endif
"""

TAIL = """
static void *htvm_data(const TVMFFIAny *argument)
{{
  const DLTensor *tensor = argument->type_index == kTVMFFITensor
      ? (const DLTensor *)((const char *)argument->v_obj + sizeof(TVMFFIObject))
      : (const DLTensor *)argument->v_ptr;
  return (char *)tensor->data + tensor->byte_offset;
}}

TVM_FFI_DLL_EXPORT int __tvm_ffi_{symbol}(void *self, const TVMFFIAny *arguments, int32_t count, TVMFFIAny *result)
{{
  struct tvmgen_{symbol}_inputs inputs = {{{inputs}}};
  struct tvmgen_{symbol}_outputs outputs = {{{outputs}}};
  (void)self, (void)count, (void)result;
  if (tvmgen_{symbol}_run(&inputs, &outputs) != 0) {{
    TVMFFIErrorSetRaisedFromCStr("RuntimeError", "{symbol}: the kernels failed");
    return -1;
  }}
  return 0;
}}

#ifdef __cplusplus
}}

int32_t tvmgen_{symbol}___tvm_main__({untyped})
{{
  return tvmgen_{symbol}___tvm_main__({typed});
}}
#endif
"""


def generate(function: Any) -> Any:
    """The runtime module of a function with ``Codegen`` = ``htvm``.

    Raises:
        HtvmError: the function was not made by ``partition``, or cannot be compiled.
    """
    symbol = str(function.attrs["global_symbol"])
    source = c_source(function, symbol)
    return tvm().get_global_func("runtime.CSourceModuleCreate")(source, "c", [symbol], [])


def c_source(function: Any, symbol: str) -> str:
    """All C of a partitioned function; it includes TVM's ``c_api.h`` and the standard library only."""
    if TARGET not in function.attrs:
        raise HtvmError(f"{symbol}: no attribute {TARGET}; use htvm_ir.integrations.tvm.partition")
    target = str(function.attrs[TARGET])
    engines = tuple(str(function.attrs[ENGINES]).split(",")) if ENGINES in function.attrs else None
    text, boundary = single_file(network_of(function, symbol), target, engines, symbol)
    return with_entry(text, symbol, boundary)


def with_entry(text: str, symbol: str, boundary: Boundary) -> str:
    """The C of a network, and the function that the VM calls: inputs, then outputs, as tensors."""
    places = {tensor.name: f"htvm_data(&arguments[{n}])" for n, tensor in enumerate(boundary.tensors)}
    inputs, outputs = (", ".join(places[t.name] for t in side) for side in (boundary.inputs, boundary.outputs))
    untyped = ", ".join(f"void *p{n}" for n in range(len(boundary.tensors)))
    typed = ", ".join(f"({tensor.element} *)p{n}" for n, tensor in enumerate(boundary.tensors))
    head = HEAD.format(symbol=symbol, untyped=untyped)
    tail = TAIL.format(symbol=symbol, inputs=inputs, outputs=outputs, untyped=untyped, typed=typed)
    return f"{head}\n{text}{tail}"


def network_of(function: Any, symbol: str) -> ModuleOp:
    """The ``graph`` module of a partitioned function.

    Raises:
        HtvmError: it holds something else than kernels.
    """
    tensors: dict[Any, Activation] = {}
    reader = Reader({})
    for parameter in function.params:
        tensors[parameter] = reader.activation(parameter)
    network = Network(list(tensors.values()))
    composites: dict[Any, Any] = {}
    for variable, value in bindings(function):
        kind = type(value).__name__
        if kind == "Function":
            composites[variable] = value
        elif kind in ("Var", "DataflowVar"):
            tensors[variable] = tensors[value]
        elif kind == "Call" and value.op in composites:
            tensors[variable] = reader.activation(variable)
            _add_kernel(network, composites[value.op], [tensors[a] for a in value.args], tensors[variable], symbol)
        elif kind != "Tuple":
            raise HtvmError(f"{symbol}: '{kind}' in a partitioned function; use htvm_ir.integrations.tvm.partition")
    return network.module([tensors[v] for v in _results(function)], symbol)


def _add_kernel(network: Network, composite: Any, arguments: list[Activation], result: Activation, symbol: str) -> None:
    bound = dict(bindings(composite))
    reader = Reader(bound)
    for parameter, argument in zip(composite.params, arguments, strict=True):
        reader.bind(parameter, argument)
    try:
        network.add(read_kernel(reader.call(_resolved(composite.body.body, bound))), result)
    except Refused as reason:
        raise HtvmError(f"{symbol}: {reason}") from None


def bindings(function: Any) -> Iterator[tuple[Any, Any]]:
    """The variables of a function and what they are bound to, in order."""
    for block in function.body.blocks:
        yield from ((binding.var, binding.value) for binding in block.bindings)


def _results(function: Any) -> list[Any]:
    result = _resolved(function.body.body, dict(bindings(function)))
    return list(result.fields) if type(result).__name__ == "Tuple" else [function.body.body]


def _resolved(expression: Any, bound: dict[Any, Any]) -> Any:
    """What a variable stands for, through any number of variables."""
    while expression in bound:
        expression = bound[expression]
    return expression
