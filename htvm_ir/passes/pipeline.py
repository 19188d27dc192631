"""The compiler, as one list that reads from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

PIPELINE = (
    "fold-constants",  # graph: what does not depend on the input
    "fold-dead-channels",  # graph: channels that are constant or not read
    "crop-kernels",  # graph: rows and columns of kernels that only meet padding
    "fuse-requant",  # graph: one requantisation after each operator
    "split-clips",  # graph: clips no engine has, after the op
    "legalize-convs",  # graph: kernels no engine has, rewritten into some they have
    "orient-maps",  # graph: height and width exchanged where engines are faster so
    "dispatch",  # accel: who computes what, and why
    "assign-layouts",  # accel: byte orders for the whole network
    "plan-strips",  # accel: which kernels work one after the other on some rows of maps too large for local memory
    "cut-strips",  # accel: a kernel for each strip
    "plan-residency",  # accel: which tensors stay in local memory
    "plan-tiles",  # accel: solve the tiling, as an attribute
    "plan-overlap",  # accel: tiles beside which the CPU computes chunks of its kernels
    "apply-plan",  # tiled: obey it
    "bufferize",  # memref: a function for each kernel, buffers for tensors
    "explicit-dma",  # dma: every transfer and every job
    "pipeline-dma",  # dma: overlap them where the hardware can
    "chunk-host",  # main: a call for each chunk of the CPU's kernels
    "overlap-kernels",  # main: steps of kernels in an order in which CPU and engines work side by side
    "overlap-transfers",  # main: the first loads of a kernel beside the last jobs of the one before it
    "lower-host",  # scf: loops for what the CPU computes
    "plan-memory",  # an address for every buffer
)
"""Everything between ``set-target`` and C, in order."""


APPROXIMATE = "approximate-convs"
NUMERICS: dict[str, tuple[str, ...]] = {"exact": (), "pow2": (), "analog": (APPROXIMATE,)}
"""What runs before ``orient-maps`` by the user's choice of numerics: passes that change the network's meaning
(``pow2`` has changed it before the import)."""


TILERS = ("optimal", "dory", "htvm", "none")
"""Who plans, the default first: the cost model's optimum; HTVM's rules of thumb, layer by layer; these, and what HTVM
gives to the CPU stays there; those without heuristics. The latter three are the baseline (`htvm_ir.tiling.dory`)."""

OPTIMAL_ONLY = frozenset(
    {
        "fold-dead-channels",
        "crop-kernels",
        "orient-maps",
        "plan-strips",
        "plan-residency",
        "plan-overlap",
        "pipeline-dma",
        "overlap-kernels",
        "overlap-transfers",
    }
)
"""Passes of ``PIPELINE`` that the baseline goes without: what they gain is what HTVM does not do (it computes channels
that are constant, multiplies with padding, overlaps nothing, and every layer reads its input from L2 and writes its
output to L2)."""


OVERLAP = frozenset({"plan-overlap", "chunk-host", "overlap-kernels", "overlap-transfers"})
"""Passes that let kernels overlap, of the CPU or of engines."""


DEPTH_FIRST = frozenset({"plan-strips", "cut-strips"})
"""Passes that compute maps too large for local memory strip by strip."""


def pass_class(name: str) -> type[ModulePass]:
    """The class of one of this package's passes: ``plan-tiles`` is ``PlanTiles`` in ``passes/plan_tiles.py``."""
    module = import_module("htvm_ir.passes." + name.replace("-", "_"))
    return getattr(module, "".join(word.capitalize() for word in name.split("-")))


def run_passes(
    module: ModuleOp,
    passes: Sequence[ModulePass],
    after: Callable[[str, ModuleOp], None] | None = None,
    verify: bool = True,
) -> ModuleOp:
    """Run passes in order on a module, in place.

    after: called with each pass's name and the module it left. verify: check the module after each pass, which takes
    about as long as the passes themselves; the driver leaves it to the tests and to ``htvm-opt``.
    """
    context = Context()
    for step in passes:
        step.apply(context, module)
        if verify:
            module.verify()
        if after is not None:
            after(step.name, module)
    return module


def pipeline(
    numerics: str = "exact", tiler: str = "optimal", overlap: bool = True, depth_first: bool = True
) -> tuple[str, ...]:
    """The names of all passes, in order."""
    place = PIPELINE.index("orient-maps")
    left_out = frozenset[str]() if tiler == "optimal" else OPTIMAL_ONLY
    left_out |= {"legalize-convs"} if tiler == "htvm" else frozenset()
    left_out |= (frozenset() if overlap else OVERLAP) | (frozenset() if depth_first else DEPTH_FIRST)
    return tuple(n for n in (*PIPELINE[:place], *NUMERICS[numerics], *PIPELINE[place:]) if n not in left_out)


def default_passes(
    seconds: float | None = None,
    numerics: str = "exact",
    tiler: str = "optimal",
    overlap: bool = True,
    depth_first: bool = True,
) -> Iterator[ModulePass]:
    """The passes of :func:`pipeline`, each with those of these options that it has.

    seconds: limit of the search of each solver run, None = the pass's own. tiler: one of ``TILERS``.
    overlap: False = every kernel ends before the next one begins. depth_first: False = every kernel computes its whole
    result before the next one begins.
    """
    given: dict[str, float | str | bool | None] = {"seconds": seconds, "tiler": tiler, "reload": tiler != "optimal"}
    for name in pipeline(numerics, tiler, overlap, depth_first):
        cls = pass_class(name)
        fields = getattr(cls, "__dataclass_fields__", {})
        yield cls(**{key: value for key, value in given.items() if key in fields and value is not None})
