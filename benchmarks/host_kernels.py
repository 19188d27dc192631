"""Kernels of the CPU on the virtual DIANA, one operator each, in every layout: what ``targets/diana/host_costs.py`` is.

Each operator stands between neighbours that hand tensors over in the layout asked for: an array's, or the caller's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from xdsl.context import Context
from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import ModuleOp, StringAttr, TensorType, i8
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.rewriter import Rewriter

from htvm_ir.backend.c.interface import Interface
from htvm_ir.backend.c.package import render_package
from htvm_ir.dialects import graph
from htvm_ir.dialects.accel import CPU, kernels
from htvm_ir.dialects.tiled import PlanAttr
from htvm_ir.driver.edges import edges
from htvm_ir.driver.harness import Board
from htvm_ir.passes.dispatch import wrap
from htvm_ir.passes.fold_constants import constant
from htvm_ir.passes.pipeline import OVERLAP, PIPELINE, pass_class, run_passes
from htvm_ir.passes.set_target import SetTarget
from htvm_ir.passes.workloads import ANCHORS, block_workload, following_requant, layout_of, module_target, workload_of
from htvm_ir.targets.layout import Layout
from htvm_ir.targets.target import Target
from htvm_ir.targets.workload import Workload

Shape = tuple[int, ...]
ROWS, DIGITAL, COMPACT, ANALOG = "rows", "digital", "compact", "analog"
"""Who writes or reads a tensor: the caller, an array in its usual layout, or the digital one in narrower rows."""


@dataclass(frozen=True)
class Case:
    """An operator: its kind ("" = none), its input, what else it needs, and who writes and reads its tensors.

    positive: an array writes its input, and leaves nothing below 0.
    """

    kind: str
    shape: Shape
    channels: int = 0
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    source: str = ROWS
    reader: str = ROWS
    positive: bool = False


@dataclass(frozen=True)
class Measured:
    """A kernel of the CPU and the cycles it took."""

    workload: Workload
    layouts: tuple[Layout, ...]
    cycles: int


class Builder:
    """A network of independent cases; weights are noise."""

    def __init__(self, cases: Sequence[Case]):
        self.random = np.random.default_rng(0)
        shapes = [case.shape for case in cases for _ in range(1 + (case.kind == "add"))]
        self.block = Block(arg_types=[TensorType(i8, shape) for shape in shapes])
        self.tested: set[Operation] = set()
        self.mappings: dict[Operation, str] = {}  # how the name ends
        arguments = iter(self.block.args)
        results = [self.case(case, arguments) for case in cases]
        self.block.add_op(ReturnOp(*results))
        types = (self.block.arg_types, [value.type for value in results])
        self.module = ModuleOp([FuncOp("main", types, Region(self.block))])

    def case(self, case: Case, arguments: Iterator[SSAValue]) -> SSAValue:
        """The operator between its neighbours."""
        low = 0 if case.positive else -128
        inputs = [self.neighbour(next(arguments), case.source, low) for _ in range(1 + (case.kind == "add"))]
        before = set(self.block.ops)
        result = self.operator(case, inputs)
        self.tested |= set(self.block.ops) - before
        return self.neighbour(result, case.reader, way="from")

    def operator(self, case: Case, inputs: Sequence[SSAValue]) -> SSAValue:
        """The operator and its requantisation; results have 7 bits if the analog array reads them."""
        x, hi = inputs[0], 63 if case.reader == ANALOG else 127
        pads = (case.kernel[0] // 2, case.kernel[1] // 2) * 2
        match case.kind:
            case "conv2d" | "depthwise":
                groups = graph.shape_of(x)[1] if case.kind == "depthwise" else 1
                channels = case.channels or graph.shape_of(x)[1]
                weights = self.noise((channels, graph.shape_of(x)[1] // groups, *case.kernel), 100)
                bias = self.noise((channels,), 1000, np.int32)
                strides = (case.stride, case.stride)
                acc = self.emit(graph.Conv2dOp(x, weights, bias, strides, pads, (1, 1), groups))
                return self.requant(acc, 9, 0, hi)
            case "dense":
                weights = self.noise((case.channels, graph.shape_of(x)[1]), 100)
                bias = self.noise((case.channels,), 1000, np.int32)
                return self.requant(self.emit(graph.DenseOp(x, weights, bias)), 9, -128, hi)
            case "max" | "average":
                strides = (case.stride, case.stride)
                return self.emit(graph.PoolOp(case.kind, x, case.kernel, strides, (0, 0, 0, 0), "floor"))
            case "add":
                return self.requant(self.emit(graph.AddOp(*inputs)), 1, -hi - 1, hi)
            case "requant":
                return self.requant(x, 0, 0, 63) if case.positive else self.requant(x, 1, -hi // 2, hi // 2)
            case "clamp":
                return self.requant(x, 0, -32, 31)
            case "reverse":
                return self.emit(graph.ReverseOp(x, (3,)))
            case "turned":
                pixels = self.operator(replace(case, kind="space_to_depth"), inputs)
                return self.emit(graph.TransposeOp(pixels, (0, 1, 3, 2)))
            case "transpose":
                return self.emit(graph.TransposeOp(x, (0, 1, 3, 2)))
            case "space_to_depth":
                height, width = graph.shape_of(x)[2:]
                pads = (0, 1, height % 2, 1 - width % 2)
                return self.emit(graph.SpaceToDepthOp(x, (2, 2), pads))
            case _:  # a conversion: between neighbours that disagree the compiler puts it
                return x

    def neighbour(self, x: SSAValue, engine: str, low: int = -128, way: str = "to") -> SSAValue:
        """A kernel of an engine that reads or writes (``way``) the tensor; none for the caller."""
        shape = graph.shape_of(x)
        if engine == ROWS:
            return self.requant(x, 0, 0, 127) if low == 0 else x
        if len(shape) == 2:
            return self.requant(self.emit(graph.DenseOp(x, self.noise((shape[1], shape[1]), 9), None)), 7, -128, 127)
        if engine in (DIGITAL, COMPACT):
            weights = self.noise((shape[1], 1, 1, 1), 100)
            conv = graph.Conv2dOp(x, weights, None, (1, 1), (0, 0, 0, 0), (1, 1), shape[1])
            if engine == COMPACT:
                self.mappings[conv] = f"_{way}_compact"
            return self.requant(self.emit(conv), 7, low, 127)
        if isinstance(x.owner, Block):
            x = self.requant(x, 0, -64, 63)
        conv = graph.Conv2dOp(x, self.noise((shape[1], shape[1], 1, 1), 1), None, (1, 1), (0, 0, 0, 0))
        return self.requant(self.emit(conv), 4, max(low, -32), 31)

    def requant(self, x: SSAValue, shift: int, lo: int, hi: int) -> SSAValue:
        return self.emit(graph.RequantOp(x, i8, shift=(shift,), lo=lo, hi=hi))

    def noise(self, shape: Shape, limit: int, dtype: Any = np.int8) -> SSAValue:
        self.block.add_op(op := constant(self.random.integers(-limit, limit + 1, shape).astype(dtype)))
        return op.result

    def emit(self, op: Operation) -> SSAValue:
        op.attributes[graph.NAME] = StringAttr("t")
        self.block.add_op(op)
        return op.results[0]


def measure(cases: Sequence[Case]) -> list[Measured]:
    """Every kernel of the CPU in one network of the cases: their operators, and conversions at the edges."""
    builder = Builder(cases)
    SetTarget().apply(Context(), builder.module)
    assign_by_hand(builder)
    found: dict[str, tuple[Workload, tuple[Layout, ...]]] = {}

    def after(name: str, module: ModuleOp) -> None:
        for dispatch in kernels(module) if name == "plan-tiles" else ():
            if dispatch.engine_name == CPU:
                layouts = tuple(layout_of(value.type) for value in (*dispatch.inputs, *dispatch.results_))
                found[dispatch.kernel.data] = block_workload(dispatch.body.block), layouts

    rest = [name for name in PIPELINE[PIPELINE.index("assign-layouts") :] if name not in OVERLAP]
    run_passes(builder.module, [pass_class(name)() for name in rest], after, verify=False)
    cycles = run(builder.module)
    return [Measured(*facts, cycles[name]) for name, facts in found.items() if name in cycles]


def assign_by_hand(builder: Builder) -> None:
    """Neighbours to the engine that takes them, the tested operators to the CPU."""
    target, block = module_target(builder.module), builder.block
    count = 0
    for op in list(block.ops):
        if op.parent is not block or not op.name.startswith("graph."):
            continue
        requant = following_requant(op) if isinstance(op, ANCHORS) else None
        if op in builder.tested:
            wrap(tested_after(op, builder), CPU, f"kernel{count}", {})
        else:
            ops = [op] if requant is None else [op, requant]
            plan, engine = plan_of(op, requant, builder, target), engine_of(op, requant, target)
            wrap(ops, engine, f"kernel{count}", {}).plan = plan
        count += 1
    for op in list(block.ops):
        if isinstance(op, ConstantOp) and not op.result.uses:
            Rewriter.erase_op(op)


def tested_after(op: Operation, builder: Builder) -> list[Operation]:
    """A tested operator: all its ops, of which each reads only the one before."""
    ops = [op]
    while isinstance(use := ops[-1].results[0].get_user_of_unique_use(), Operation) and use in builder.tested:
        ops.append(use)
    return ops


def plan_of(op: Operation, requant: graph.RequantOp | None, builder: Builder, target: Target) -> PlanAttr | None:
    """The plan of a neighbour with compact rows: all at once; None if it is another one, or cannot have such rows."""
    ending, workload = builder.mappings.get(op), workload_of(op, requant)
    mappings = target.engine(DIGITAL).mappings(workload) if ending else ()
    found = next((mapping for mapping in mappings if mapping.endswith(ending or "")), None)
    return PlanAttr({}, (1, 1), mapping=found) if found else None


def engine_of(op: Operation, requant: graph.RequantOp | None, target: Target) -> str:
    """The first engine that takes an op, else the CPU."""
    workload = workload_of(op, requant)
    return next((engine.name for engine in target.engines if engine.match(workload) is None), CPU)


def run(module: ModuleOp) -> dict[str, int]:
    """Cycles of each kernel of a lowered module but the first, which starts with the program."""
    inputs, outputs = edges(module)
    random, ends = np.random.default_rng(0), list[tuple[str, int]]()
    package = render_package(module, "default", Interface())
    with Board.build(module_target(module), package.files, package.interface, inputs, outputs) as board:
        for function in module.ops:
            if isinstance(function, FuncOp) and function.sym_name.data != "main":
                board.watch(function.sym_name.data)
        board.run([random.integers(-60, 60, edge.shape).astype(edge.dtype) for edge in inputs])
        ends = [(event.kernel, event.cycle) for event in board.returns]
    return {name: cycle - before for (_, before), (name, cycle) in pairwise(ends)}
