"""``crop-kernels``: leave out the rows and columns of kernels that meet nothing but padding."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from htvm_ir.dialects import graph
from htvm_ir.passes.conv_rewrites import Rewriting, crop_kernel
from htvm_ir.passes.fold_constants import remove_dead
from htvm_ir.passes.legalize_convs import rewritten
from htvm_ir.passes.workloads import blocks_of, workload_of


@dataclass(frozen=True)
class CropKernels(ModulePass):
    """Makes kernels smaller where maps are: of a 3x3 kernel on a map of one pixel only the middle ever counts."""

    name = "crop-kernels"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for block in blocks_of(op):
            for conv in list(block.ops):
                if isinstance(conv, graph.Conv2dOp):
                    crop(conv)
            remove_dead(block)


def crop(conv: graph.Conv2dOp) -> None:
    """Crop the kernel of one convolution, if it is constant and has rows or columns to lose."""
    workload = workload_of(conv, None)
    if workload.weights is None:
        return
    cropped = crop_kernel(workload)
    if cropped.kernel != workload.kernel:
        Rewriter.replace_op(conv, rewritten(conv, Rewriting(cropped)))
