"""The entry of one ONNX operator in a front end's table: its conversion, and beside it what the documentation says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx.graph import Graph, Node

Net = TypeVar("Net")
"""The state of a conversion in one convention."""

BYTES = ("int8", "uint8")


@dataclass(frozen=True)
class Operator(Generic[Net]):
    """How a front end converts an operator.

    becomes: the ops of ``graph``, without the dialect's name; none if nothing is computed. types: element types of the
    computed operands. computed: positions of the operands that a network may compute, ``None`` for all; the others must
    be constants. limits: what else must hold, in words. since: the least opset whose meaning of the operator it is.
    has_results: whether every result is converted, and not only the first one. host_only: no engine's arithmetic.
    """

    convert: Callable[[Net, Node], None]
    becomes: tuple[str, ...]
    limits: str = ""
    types: tuple[str, ...] = BYTES
    computed: tuple[int, ...] | None = (0,)
    since: int = 1
    has_results: bool = False
    host_only: bool = False


@dataclass(frozen=True)
class Convention:
    """The operators of one domain as one of the front ends takes them; ``summary`` says in which networks."""

    name: str
    summary: str
    domain: str
    operators: Mapping[str, Operator[Any]]


def check_inference(graph: Graph, node: Node) -> None:
    """Raises HtvmError for a Dropout that drops: one in training mode, or that may be."""
    mode = node.operand(2) if node.op == "Dropout" else ""
    if mode and (mode not in graph.constants or graph.constants[mode].any()):
        raise HtvmError(f"{node}: is in training mode; export the model for inference")


def operator_of(
    graph: Graph, node: Node, domains: Mapping[str, Mapping[str, Operator[Net]]], network: str
) -> Operator[Net]:
    """The entry that converts ``node`` in a ``network`` of some kind.

    ``domains`` holds the operators of each domain. Raises HtvmError if none of them does.
    """
    found = domains.get(node.domain, {}).get(node.op)
    if found is None:
        domain = f" of domain '{node.domain}'" if node.domain else ""
        known = " and of ".join(f"{name} {', '.join(sorted(operators))}".strip() for name, operators in domains.items())
        raise node.error(f"operator{domain} is not supported in {network}; supported are {known}", unknown=True)
    opset = graph.opsets.get(node.domain, found.since)
    if opset < found.since:
        raise node.error(f"has another meaning in opset {opset}; convert the model to opset {found.since} or later")
    if not found.has_results and any(graph.is_used(name) for name in node.outputs[1:]):
        raise node.error("only its first result is supported")
    return found
