"""Cuts what another compiler computes out of a network: regions of nodes, each with one result.

A node belongs to the region of its readers if all of them are in one region and nothing else reads its result. So a
path that leaves a region starts at its result and cannot come back: every region is convex, and nothing is computed
twice but nodes with several results, once for each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from htvm_ir.frontends.onnx.graph import Graph, Node, live_nodes, sort_nodes

DOMAIN = "htvm.external"
"""The domain of the node that stands for a region."""

REGION = "region"
"""The attribute of such a node."""


@dataclass(frozen=True)
class Region:
    """``nodes``, sorted, compute tensor ``output``; ``reason`` says why none of our ops does."""

    symbol: str
    nodes: tuple[Node, ...]
    output: str
    reason: str

    @property
    def last(self) -> Node:
        """The node that computes the result."""
        return next(node for node in self.nodes if self.output in node.outputs)


def region_of(node: Node) -> Region | None:
    """The region that a node stands for, if it does."""
    return node.attributes[REGION] if node.domain == DOMAIN else None


def is_external(graph: Graph, name: str) -> bool:
    """Whether a region reads a tensor."""
    return any(node.domain == DOMAIN for node in graph.readers(name))


def producers(graph: Graph) -> dict[str, Node]:
    """The node that computes each tensor."""
    return {name: node for node in graph.nodes for name in node.outputs if name}


def cut(graph: Graph, external: Mapping[str, str], copied: Collection[str]) -> Graph:
    """``graph`` with a node for each region.

    external: for each node to cut out, by its first result, the reason, the most telling ones first. copied: first
    results of nodes that each region computes for itself where it reads them.
    """
    roots = _roots(graph, {name for name in external if name not in copied})
    members: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for root in roots.get(node.output, ()):
            members.setdefault(root, []).append(node)
    made = producers(graph)
    nodes = [node for node in graph.nodes if node.output not in external or node.output in copied]
    for count, (root, inside) in enumerate(members.items()):
        whole = _with_copies(graph, inside, made, copied)
        found = {node.output for node in inside}
        reason = next(reason for name, reason in external.items() if name in found)
        region = Region(f"external_{count}", tuple(whole), root, reason)
        nodes.append(Node("External", DOMAIN, root, tuple(_operands(graph, region)), (root,), {REGION: region}))
    given = graph.constants.keys() | {item.name for item in graph.inputs}
    kept = live_nodes(sort_nodes(nodes, given.__contains__), graph.outputs)
    return replace(graph, nodes=kept, constants=dict(graph.constants))


def _roots(graph: Graph, external: Collection[str]) -> dict[str, list[str]]:
    """For each node to cut out, by its first result: the results of the regions it belongs to."""
    roots: dict[str, list[str]] = {}

    def home(name: str) -> str:
        """The region of all readers of a result, else one of its own."""
        homes = {tuple(roots.get(reader.output, ())) for reader in graph.readers(name)}
        only = homes.pop() if len(homes) == 1 and name not in graph.outputs else ()
        return only[0] if len(only) == 1 else name

    for node in reversed(graph.nodes):
        if node.output in external:
            roots[node.output] = list(dict.fromkeys(home(name) for name in node.outputs if graph.is_used(name)))
    return roots


def _with_copies(graph: Graph, inside: list[Node], made: Mapping[str, Node], copied: Collection[str]) -> list[Node]:
    found = {node.output: node for node in inside}
    waiting = [name for node in inside for name in node.inputs]
    while waiting:
        node = made.get(waiting.pop())
        if node is not None and node.output in copied and node.output not in found:
            found[node.output] = node
            waiting += node.inputs
    return [node for node in graph.nodes if node.output in found]


def _operands(graph: Graph, region: Region) -> Iterator[str]:
    """What a region reads and does not compute, without constants."""
    inner = {name for node in region.nodes for name in node.outputs}
    names = dict.fromkeys(name for node in region.nodes for name in node.inputs if name)
    return (name for name in names if name not in inner and name not in graph.constants)
