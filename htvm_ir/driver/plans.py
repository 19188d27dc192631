"""Hand-written plans: read from a file, put in place as soon as there are kernels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from htvm_ir.errors import HtvmError

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

    from htvm_ir.dialects.accel import DispatchOp

Entry: TypeAlias = Mapping[str, int | str]
"""JSON form of the plan attribute: tile size by dimension, the outermost loop first, as reports hold it as ``tile``;
and under ``mapping``, perhaps, how the engine is to compute it."""

MAPPING = "mapping"


def read_plan(path: Path) -> dict[str, Entry]:
    """Tile sizes, and mappings, by kernel or layer name from a JSON file.

    Raises:
        HtvmError: unreadable, or not of that form.
    """
    try:
        plan = json.loads(path.read_text(), object_pairs_hook=_without_repetition)
    except (OSError, ValueError, RecursionError) as error:
        raise HtvmError(f"{path}: not a readable JSON plan ({error})") from error
    valid = isinstance(plan, dict) and all(
        isinstance(entry, dict) and all(_is_choice(name, choice) for name, choice in entry.items())
        for entry in plan.values()
    )
    if not valid:
        raise HtvmError(f'{path}: expected {{"kernel": {{"dimension": tile size}}}}, as in {{"conv1": {{"y": 8}}}}')
    return plan


def _is_choice(name: str, choice: object) -> bool:
    """Whether an entry of a plan is a tile size, or the name of a mapping."""
    return isinstance(choice, str) if name == MAPPING else type(choice) is int and choice > 0


def _without_repetition(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError if it has a name twice."""
    names = [name for name, _ in pairs]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(map(repr, repeated))} is there twice")
    return dict(pairs)


class Plans:
    """Sets the plans of kernels named by their own name or by that of the tensor they compute."""

    def __init__(self, plans: Mapping[str, Entry]):
        self.plans = plans

    def after(self, name: str, module: ModuleOp) -> None:
        """Called after each pass.

        Raises:
            HtvmError: a plan names a kernel that does not exist, has no tiles or has a plan already; or it names
                something that cannot be a dimension.
        """
        from htvm_ir.dialects.accel import CPU, kernels
        from htvm_ir.driver.report import layer_name

        if name != "dispatch":
            return
        dispatches = kernels(module)
        for key, entry in self.plans.items():
            named = [d for d in dispatches if key in (d.kernel.data, layer_name(d))]
            tiled = [d for d in named if d.engine_name != CPU]
            if not named:
                raise HtvmError(f"the plan names kernels that do not exist: {key}")
            if not tiled:
                raise HtvmError(f"the plan names '{key}', which the CPU computes: it has no tiles")
            for dispatch in tiled:
                _place(dispatch, key, entry)


def _place(dispatch: DispatchOp, key: str, entry: Entry) -> None:
    from xdsl.utils.exceptions import VerifyException

    from htvm_ir.dialects.tiled import PlanAttr

    if dispatch.plan is not None:
        raise HtvmError(f"the plan names '{key}', whose kernel '{dispatch.kernel.data}' it names elsewhere, too")
    sizes = {name: size for name, size in entry.items() if isinstance(size, int)}
    try:
        dispatch.plan = PlanAttr(sizes, mapping=str(entry.get(MAPPING, "")))
    except VerifyException as error:
        raise HtvmError(f"the plan of '{key}': {error}") from error
