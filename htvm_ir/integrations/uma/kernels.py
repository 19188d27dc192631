"""C kernels for the functions that UMA has partitioned, with the prototypes that TVM's calls of them imply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from htvm_ir.backend.c.package import render
from htvm_ir.errors import HtvmError
from htvm_ir.integrations.kernels import Activation, Array, Constant, Node, read_kernel
from htvm_ir.integrations.network import Network, compile_network
from htvm_ir.integrations.requantisation import Refused
from htvm_ir.integrations.uma.reader import Reader, type_of
from htvm_ir.targets.registry import load_target

HEADER = "htvm_uma.h"


@dataclass(frozen=True)
class UmaKernel:
    """A kernel as TVM calls it.

    symbol: of the function that TVM generates around the call. name: of ours. parameters: element type of each tensor,
    parameters of the network (which are packed into the kernel, and not read) included, results last.
    inputs: which of these the kernel reads. results: how many of them it writes. files: its C by path.
    """

    symbol: str
    name: str
    parameters: tuple[str, ...]
    inputs: tuple[int, ...]
    results: int
    files: Mapping[str, str] = field(repr=False)

    @property
    def prototype(self) -> str:
        """As TVM's forward declaration has it: pointers to elements, none of them const."""
        pointers = ", ".join(f"{dtype}_t *p{n}" for n, dtype in enumerate(self.parameters))
        return f"int32_t {self.name}({pointers})"


def kernel_of(
    function: Any, arguments: Sequence[Any], params: Mapping[str, Array], target: str, engines: tuple[str, ...] | None
) -> UmaKernel:
    """Compile a partitioned function that is called with these arguments in ``main``.

    Raises:
        HtvmError: it holds something else than the patterns match.
    """
    symbol = str(function.attrs["global_symbol"])
    name = symbol.removeprefix("tvmgen_default_")
    nodes = [_argument(argument, params) for argument in arguments]
    given = {n: node for n, node in enumerate(nodes) if isinstance(node, Activation)}
    network = Network(list(given.values()))
    results = _Builder(network, dict(zip(function.params, nodes, strict=True)), symbol).results(function.body)
    module = network.module(results, name)
    compile_network(module, target, engines)
    parameters = [*(type_of(p)[1] for p in function.params), *(r.dtype for r in results)]
    return UmaKernel(symbol, name, tuple(parameters), tuple(given), len(results), render(module, name))


def _argument(argument: Any, params: Mapping[str, Array]) -> Node:
    """What ``main`` gives: a parameter whose value is known, or a tensor."""
    if type(argument).__name__ == "Var" and argument.name_hint in params:
        return Constant(params[argument.name_hint])
    return Activation(*type_of(argument))


class _Builder:
    """Adds the composite functions of a partitioned one to a network, in the order of their use."""

    def __init__(self, network: Network, nodes: dict[Any, Node], symbol: str):
        self.network, self.nodes, self.symbol = network, nodes, symbol

    def results(self, body: Any) -> list[Activation]:
        """The tensors a function returns."""
        fields = list(body.fields) if type(body).__name__ == "Tuple" else [body]
        found = [self._node(value) for value in fields]
        return [node for node in found if isinstance(node, Activation)]

    def _node(self, expression: Any) -> Node:
        if expression not in self.nodes:
            self.nodes[expression] = self._composite(expression)
        return self.nodes[expression]

    def _composite(self, call: Any) -> Activation:
        composite: Any = getattr(call, "op", None)
        if type(composite).__name__ != "Function":
            raise HtvmError(f"{self.symbol}: '{type(call).__name__}' outside of a pattern")
        arguments = [self._node(argument) for argument in call.args]
        reader = Reader({}, dict(zip(composite.params, arguments, strict=True)))
        try:
            result = Activation(*type_of(call))
            self.network.add(read_kernel(reader.call(composite.body)), result)
        except Refused as reason:
            raise HtvmError(f"{self.symbol}: {reason}") from None
        return result


def kernel_files(kernels: Sequence[UmaKernel], target: str) -> dict[str, str]:
    """All C that a program with these kernels needs besides what TVM generates: relative path -> text."""
    files: dict[str, str] = {f"include/{HEADER}": _header(kernels), "src/htvm_uma.c": _entries(kernels)}
    for kernel in kernels:
        files |= kernel.files
    files |= dict(_runtime(target))
    return files


def _runtime(target: str) -> Iterator[tuple[str, str]]:
    """The drivers of the target, and all headers; its start-up code is the program's business."""
    chosen = load_target(target)
    if chosen.soc is None:
        return
    soc = chosen.soc()
    yield from ((f"src/{path.name}", path.read_text()) for path in soc.sources if path.suffix == ".c")
    yield from ((f"include/{path.name}", path.read_text()) for path in soc.headers)


def _header(kernels: Sequence[UmaKernel]) -> str:
    prototypes = "\n".join(f"{kernel.prototype};" for kernel in kernels)
    return (
        "// Kernels that TVM's generated C calls, generated by htvm. Parameters of the network are packed into them:\n"
        "// pointers to these are not read.\n"
        "#ifndef HTVM_UMA_H\n#define HTVM_UMA_H\n\n#include <stdint.h>\n\n"
        '#ifdef __cplusplus\nextern "C" {\n#endif\n\n'
        f"{prototypes}\n\n"
        "#ifdef __cplusplus\n}\n#endif\n\n#endif  // HTVM_UMA_H\n"
    )


def _entries(kernels: Sequence[UmaKernel]) -> str:
    includes = [f'#include "{HEADER}"', *(f'#include "tvmgen_{kernel.name}.h"' for kernel in kernels)]
    return "\n".join(["// Kernels as TVM calls them, generated by htvm.", *includes, *map(_entry, kernels)])


def _entry(kernel: UmaKernel) -> str:
    count = len(kernel.parameters)
    outputs = range(count - kernel.results, count)
    unused = [n for n in range(count) if n not in kernel.inputs and n not in outputs]
    sides = [("inputs", kernel.inputs), ("outputs", outputs)]
    lines = [f"  (void)p{n};" for n in unused]
    for side, places in sides:
        members = ", ".join(f"p{n}" for n in places)
        lines.append(f"  struct tvmgen_{kernel.name}_{side} {side} = {{{members}}};")
    body = "\n".join([*lines, f"  return tvmgen_{kernel.name}_run(&inputs, &outputs);"])
    return f"\n{kernel.prototype} {{\n{body}\n}}\n"
