"""The report of a compilation: what runs where, why, at which predicted cost, and what memory it takes."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import Any

from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, MemRefType, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.dialects.memref import GlobalOp
from xdsl.ir import Attribute, Operation

from htvm_ir.dialects.accel import CPU, DispatchOp, LaunchOp, kernels
from htvm_ir.dialects.dma import StartOp, transfer_shape
from htvm_ir.dialects.external import ExternalOp
from htvm_ir.dialects.graph import NAME, shape_of
from htvm_ir.dialects.tiled import PlanAttr
from htvm_ir.passes.chunks import ROWS
from htvm_ir.passes.dispatch import COSTS
from htvm_ir.passes.fold_dead_channels import network_macs
from htvm_ir.passes.host_prices import host_cycles
from htvm_ir.passes.memory_fit import Fixed, bytes_of
from htvm_ir.passes.orient_maps import orientation
from htvm_ir.passes.overlap_kernels import HIDDEN
from htvm_ir.passes.pipeline import APPROXIMATE
from htvm_ir.passes.plan_memory import ARENA, BOUND
from htvm_ir.passes.workloads import FIRST_ROW, block_workload, resident_bytes
from htvm_ir.targets.target import Job, Target
from htvm_ir.targets.workload import Workload

SCHEMA = 1

NO_BOUNDS = {"compute_bound": 0, "transfer_bound": 0, "bound": 0}
"""Of a kernel of the CPU: what its jobs and its transfers take alone, and the larger of the two."""


def layer_name(dispatch: DispatchOp) -> str:
    """The ONNX name of the tensor a kernel computes, else the kernel's own."""
    name = getattr(dispatch.yielded[0].owner, "attributes", {}).get(NAME)
    return name.data if isinstance(name, StringAttr) else dispatch.kernel.data


class Recorder:
    """Looks at the module between passes, where each fact is plainest to see."""

    def __init__(self, target: Target):
        self.target = target
        self.layers: list[dict[str, Any]] = []
        self._network_macs = 0
        self.approximated: list[str] = []
        self._bounds: dict[str, dict[str, int]] = {}

    def after(self, name: str, module: ModuleOp) -> None:
        """Called after each pass."""
        if name == "fold-constants":
            self._network_macs = network_macs(module)
        if name == APPROXIMATE:
            from htvm_ir.passes.approximate_convs import approximated

            self.approximated = approximated(module)
        if name in ("plan-tiles", "plan-overlap"):
            self.layers = [self._layer(dispatch) for dispatch in kernels(module)]
        if name == "explicit-dma":
            self._bounds = {op.sym_name.data: self._count(op) for op in module.ops if isinstance(op, FuncOp)}

    def report(self, model: str, module: ModuleOp) -> dict[str, Any]:
        """The JSON object of interface version 1; seconds and code size are filled in by the caller."""
        hidden = _numbers(module, HIDDEN)
        for layer in self.layers:
            layer["hidden"] = hidden.get(layer["kernel"], 0)
            layer.update(self._bounds.get(layer["kernel"], NO_BOUNDS))
        predicted = sum(layer["cycles"] - layer["hidden"] for layer in self.layers)
        bounds = {name: sum(layer[name] for layer in self.layers) for name in NO_BOUNDS}
        constants = _constant_bytes(module)
        arena, bound = _numbers(module, ARENA), _numbers(module, BOUND)
        executed = sum(layer["macs"] for layer in self.layers)
        fixed = Fixed.of(module, self.target)
        used = {name: fixed[name].memory.size - fixed[name].room + arena[name] for name in fixed}
        return {
            "schema": SCHEMA,
            "model": model,
            "target": self.target.name,
            "compile_seconds": 0.0,
            "layers": self.layers,
            "macs": {"network": self._network_macs, "executed": executed},
            "approximated": self.approximated,
            "orientation": orientation(module),
            "cycles": {"predicted": predicted, **bounds},
            "memory": {
                m.name: {"used": used[m.name], "size": m.size, "fits": used[m.name] <= m.size}
                for m in self.target.memories
            },
            "arena": {
                name: {"bytes": size, "lower_bound": bound[name], "proven_minimal": size == bound[name]}
                for name, size in arena.items()
            },
            "weights_bytes": sum(constants.values()),
            "code_bytes": None,
        }

    def _layer(self, dispatch: DispatchOp) -> dict[str, Any]:
        workload = block_workload(dispatch.body.block)
        plan = dispatch.plan if isinstance(dispatch.plan, PlanAttr) else None
        engine = dispatch.engine_name
        costs = _dictionary(dispatch.attributes.get(COSTS))
        refusals = [f"{name}: {reason}" for name, reason in dispatch.reasons.items()]
        refusals += [f"{n}: takes it, but with conversions the network is slower" for n in costs if n != CPU]
        return {
            "name": layer_name(dispatch),
            "kernel": dispatch.kernel.data,
            "op": "depthwise" if workload.is_depthwise else workload.kind,
            "shape": list(workload.output.shape),
            "rows": _rows(dispatch),
            "engine": engine,
            "reason": _external(dispatch) or "; ".join(refusals) or None if engine == CPU else None,
            "costs": costs,
            "refused": dispatch.reasons,
            "macs": workload.macs,
            "cycles": host_cycles(dispatch, self.target) if plan is None else plan.latency.data,
            "tile": None if plan is None else plan.tile,
            "mapping": None if plan is None else plan.mapping.data or None,
            "resident": [_operand(workload, index) for index in sorted(resident_bytes(dispatch))],
            "proven_optimal": None if plan is None else bool(plan.proven.data),
        }

    def _count(self, function: FuncOp) -> dict[str, int]:
        """Cycles the engines compute for a kernel and cycles the busiest port moves its data, each alone."""
        compute = 0
        transfers = Counter[str]()
        for op in function.walk():
            if isinstance(op, LaunchOp):
                compute += self.target.engine(op.engine_name).cycles(Job(op.kernel.data, op.fields))
            elif isinstance(op, StartOp):
                channel = self.target.channel(op.channel.string_value())
                ends = [transfer_shape(v.type) for v in op.operands if isinstance(v.type, MemRefType)]
                loops = max(ends, key=len)
                transfers[channel.port] += channel.cycles(loops[-1][0], prod(count for count, _ in loops[:-1]))
        transfer = max(transfers.values(), default=0)
        return {"compute_bound": compute, "transfer_bound": transfer, "bound": max(compute, transfer)}


def _rows(dispatch: DispatchOp) -> list[int] | None:
    """First row and the one behind the last, of a kernel that computes a strip of its tensor."""
    computed = dispatch.yielded[0]
    first = computed.owner.attributes.get(FIRST_ROW) if isinstance(computed.owner, Operation) else None
    if not isinstance(first, IntegerAttr):
        return None
    return [first.value.data, first.value.data + shape_of(computed)[ROWS]]


def _external(dispatch: DispatchOp) -> str | None:
    """Why a kernel is another compiler's."""
    return next((op.reason.data for op in dispatch.body.block.ops if isinstance(op, ExternalOp)), None)


def _operand(workload: Workload, index: int) -> str:
    """What the report calls an operand of a kernel."""
    inputs = len(workload.inputs)
    if index == inputs:
        return "output"
    return "input" if inputs == 1 else f"input{index}"


def _constant_bytes(module: ModuleOp) -> dict[str, int]:
    totals: dict[str, int] = {}
    for op in module.walk():
        if isinstance(op, GlobalOp):
            space = op.type.memory_space
            name = space.data if isinstance(space, StringAttr) else ""
            totals[name] = totals.get(name, 0) + bytes_of(op.type)
    return totals


def _numbers(module: ModuleOp, attribute: str) -> dict[str, int]:
    return _dictionary(module.attributes.get(attribute))


def _dictionary(value: Attribute | None) -> dict[str, int]:
    if not isinstance(value, DictionaryAttr):
        return {}
    return {k: v.value.data for k, v in value.data.items() if isinstance(v, IntegerAttr)}
