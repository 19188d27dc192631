"""The functions the caller enters by: TVM's ``___tvm_main__`` and ``_run``, around the network itself.

What has to be undone (workspace, activated devices) is undone on every way out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from htvm_ir.backend.c.header import run_head
from htvm_ir.backend.c.interface import NETWORK, PACKED, Frame
from htvm_ir.backend.c.signature import function_head

BACKEND_DECLARATIONS = """\
// The application's allocator, as TVM's runtime declares it.
void *TVMBackendAllocWorkspace(int device_type, int device_id, uint64_t nbytes, int dtype_code_hint,
                               int dtype_bits_hint);
int TVMBackendFreeWorkspace(int device_type, int device_id, void *ptr);"""

CPU, UNSIGNED = 1, 1
"""kDLCPU and kDLUInt of DLPack."""

ALIGNED = """\
// The first multiple of an alignment in memory that may begin anywhere.
static uint8_t *aligned(void *memory, uintptr_t alignment) {
  return (uint8_t *)memory + (-(uintptr_t)memory & (alignment - 1));
}"""

TENSOR_DATA = """\
// As TVM's own code, this reads a tensor's data and nothing else of it, and not the number or types of arguments:
// applications leave them out. NULL if there are no data.
static void *tensor_data(const TVMValue *argument) {
  const DLTensor *const tensor = (const DLTensor *)argument->v_handle;
  return tensor == NULL ? NULL : tensor->data;
}"""


@dataclass(frozen=True)
class _Guard:
    """A resource around the network: C that is true once it is there, and C that is true if giving it back failed."""

    entered: str
    left: str


def is_bare(frame: Frame) -> bool:
    """Whether the network's function itself can be TVM's entry."""
    return frame.interface.calls == "c" and frame.owns_arenas and not frame.devices


def network_head(frame: Frame) -> str:
    """The head of the function with the network's calls: tensors, then arenas, then contexts of devices."""
    tensors = [parameter.declaration for parameter in frame.tensor_parameters]
    if is_bare(frame):
        return function_head(f"{frame.prefix}___tvm_main__", tensors)
    arenas = [] if frame.owns_arenas else [f"uint8_t *{pool.arena}" for pool in frame.pools]
    return f"static {function_head(NETWORK, [*tensors, *arenas, *_contexts(frame)])}"


def declarations(frame: Frame) -> list[str]:
    """What stands in front of the network: prototypes and helpers."""
    texts = [f"{main_head(frame)};"]
    if frame.interface.workspace == "backend" and frame.pools:
        texts.append(BACKEND_DECLARATIONS)
    if frame.devices:
        hooks = (d.hook(event) for d in frame.devices for event in ("Activate", "Open", "Close", "Deactivate"))
        heads = "\n".join(f"int32_t {hook}(void *context);" for hook in hooks)
        texts.append(f"// The application's: called when an engine is used.\n{heads}")
    if not frame.owns_arenas and frame.pools:
        texts.append(ALIGNED)
    if frame.interface.calls == "packed":
        texts.append(TENSOR_DATA)
    return texts


def main_head(frame: Frame) -> str:
    """The head of TVM's entry: tensors, then pools, then contexts of devices."""
    name = f"{frame.prefix}___tvm_main__"
    if frame.interface.calls == "packed":
        return function_head(name, [f"{type_}{parameter}" for type_, parameter in PACKED])
    tensors = [parameter.declaration for parameter in frame.tensor_parameters]
    pools = [f"void *{pool.parameter}" for pool in frame.given_pools]
    return function_head(name, [*tensors, *pools, *_contexts(frame)])


def entry_functions(frame: Frame) -> list[str]:
    """The definitions behind the network: TVM's entry, unless it is the network's function, and ``_run``."""
    if is_bare(frame):
        return [_run(frame)]
    status, guarded = _guarded(frame)
    lines = [*_arguments(frame), *status, *guarded]
    text = "\n".join(f"  {line}" for line in lines)
    return [f"{main_head(frame)} {{\n{text}\n}}", _run(frame)]


def _contexts(frame: Frame) -> list[str]:
    return [f"void *{device.name}" for device in frame.devices]


def _arguments(frame: Frame) -> list[str]:
    """What is read from packed arguments, and what must be there."""
    if frame.interface.calls == "packed":
        tensors = frame.tensor_parameters
        return [
            *(f"(void){parameter};" for _, parameter in PACKED[1:]),
            *(f"void *const {t.name} = tensor_data(&args[{index}]);" for index, t in enumerate(tensors)),
            *_refuse([t.name for t in tensors]),
        ]
    return _refuse([pool.parameter for pool in frame.given_pools])


def _refuse(pointers: Sequence[str]) -> list[str]:
    """An error if one is missing."""
    if not pointers:
        return []
    return [f"if ({' || '.join(f'{pointer} == NULL' for pointer in pointers)}) {{", "  return -1;", "}"]


def _guarded(frame: Frame) -> tuple[list[str], list[str]]:
    """Declarations, and the call of the network inside everything it needs."""
    names = [parameter.name for parameter in frame.tensor_parameters]
    arenas = [] if frame.owns_arenas else [_arena(frame, index) for index in range(len(frame.pools))]
    call = f"{NETWORK}({', '.join([*names, *arenas, *(device.name for device in frame.devices)])})"
    guards: list[_Guard] = []
    setup: list[str] = []
    if frame.interface.workspace == "backend" and frame.pools:
        arguments = f"{CPU}, 0, {frame.workspace}u, {UNSIGNED}, 8"
        setup.append(f"void *const workspace = TVMBackendAllocWorkspace({arguments});")
        guards.append(_Guard("workspace != NULL", f"TVMBackendFreeWorkspace({CPU}, 0, workspace) != 0"))
    for device in frame.devices:
        enter, leave = (f"{device.hook(event)}({device.name})" for event in ("Activate", "Deactivate"))
        guards.append(_Guard(f"{enter} == 0", f"{leave} != 0"))
    if not guards:
        return [], [f"return {call};"]
    return [*setup, "int32_t status = -1;"], [*_nested(guards, f"status = {call};"), "return status;"]


def _arena(frame: Frame, index: int) -> str:
    pool = frame.pools[index]
    memory = pool.parameter if frame.interface.workspace == "pools" else "workspace"
    return f"aligned({memory}, {pool.memory.alignment})"


def _nested(guards: Sequence[_Guard], body: str) -> list[str]:
    """The body inside the guards; what was entered is left, and a failure to do so is one of the whole."""
    if not guards:
        return [body]
    first, *rest = guards
    inner = [*_nested(rest, body), f"if ({first.left}) {{", "  status = -1;", "}"]
    return [f"if ({first.entered}) {{", *(f"  {line}" for line in inner), "}"]


def _run(frame: Frame) -> str:
    if frame.interface.calls == "packed":
        names = ", ".join(parameter for _, parameter in PACKED)
    else:
        tensors = (f"{'outputs' if t.is_output else 'inputs'}->{t.name}" for t in frame.boundary.tensors)
        pools = (f"workspace_pools->{pool.name}" for pool in frame.given_pools)
        names = ", ".join([*tensors, *pools, *(f"devices->{device.name}" for device in frame.devices)])
    return f"{run_head(frame)} {{\n  return {frame.prefix}___tvm_main__({names});\n}}"
