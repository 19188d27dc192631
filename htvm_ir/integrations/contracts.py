"""What the engines of a target take, asked of their contracts."""

from __future__ import annotations

import logging
from collections.abc import Callable

from xdsl.dialects.builtin import ModuleOp

from htvm_ir.integrations.kernels import Activation, Call, Kernel, read_kernel
from htvm_ir.integrations.network import Network, operators
from htvm_ir.integrations.requantisation import Refused
from htvm_ir.passes.choices import refusal
from htvm_ir.passes.pipeline import PIPELINE, pass_class, run_passes
from htvm_ir.passes.set_target import SetTarget
from htvm_ir.passes.workloads import following_requant, module_target, workload_of
from htvm_ir.targets.registry import target_with_engines

REWRITINGS = PIPELINE[: PIPELINE.index("orient-maps")]
"""Passes that bring an operator into the forms that engines have."""

_log = logging.getLogger("htvm_ir.integrations")


def kinds(target: str, engines: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """The kinds of workload that some engine of the target computes, in the order of the engines.

    Raises:
        HtvmError: there is no such target or engine.
    """
    return tuple(dict.fromkeys(kind for e in target_with_engines(target, engines).engines for kind in e.kinds))


def is_taken(read: Callable[[], Call], target: str, engines: tuple[str, ...] | None = None) -> bool:
    """Whether an engine of the target computes the kernel that ends in a call; if not, the log says why (INFO).

    read: gives the call, or raises Refused.
    """
    try:
        root = read()
    except Refused as reason:
        _log.info("left to TVM: %s", reason)
        return False
    reason = why_not(root, target, engines)
    if reason is not None:
        _log.info("%s left to TVM: %s", list(root.shape), reason)
    return reason is None


def why_not(root: Call, target: str, engines: tuple[str, ...] | None = None) -> str | None:
    """Why no engine of the target takes the kernel that ends in a call; None if one does.

    What the compiler rewrites into several operators is taken if each of them is.
    """
    try:
        kernel = read_kernel(root)
        module = kernel_module(kernel, root)
    except Refused as reason:
        return str(reason)
    run_passes(module, [SetTarget(target, engines), *(pass_class(name)() for name in REWRITINGS)], verify=False)
    chosen = module_target(module)
    for op in operators(module):
        workload = workload_of(op, following_requant(op))
        reasons = {engine.name: refusal(engine, workload, chosen) for engine in chosen.engines}
        if all(reasons.values()):
            return "; ".join(f"{name}: {reason}" for name, reason in reasons.items()) or "the target has no engine"
    return None


def kernel_module(kernel: Kernel, root: Call) -> ModuleOp:
    """A network of one kernel.

    Raises:
        Refused: the ops do not exist in ``graph``.
    """
    network = Network(list(dict.fromkeys(kernel.activations)))
    result = Activation(root.shape, root.dtype)
    network.add(kernel, result)
    return network.module([result], "kernel")
