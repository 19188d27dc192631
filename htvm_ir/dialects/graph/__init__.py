"""``graph``: the exact integer meaning of a quantised network, on tensors, without hardware.

Activations are NCHW (or [1, N]) with batch 1; constants are ``arith.constant``. Operators that accumulate give i32;
``graph.requant`` brings them back to 8 bits. The discardable attribute ``graph.name`` carries the ONNX tensor name.
"""

from __future__ import annotations

from xdsl.ir import Dialect

from htvm_ir.dialects.graph.checks import (
    NAME,
    AnyTensor,
    element_limits,
    number,
    shape_of,
    tensor_type,
    window_extent,
)
from htvm_ir.dialects.graph.contractions import Conv2dOp, DenseOp
from htvm_ir.dialects.graph.elementwise import AddOp, LookupOp, MulOp, RequantOp, SubOp
from htvm_ir.dialects.graph.moves import ConcatOp, PadOp, ReshapeOp, ReverseOp, SliceOp, SpaceToDepthOp, TransposeOp
from htvm_ir.dialects.graph.pooling import PoolOp

Graph = Dialect(
    "graph",
    [
        Conv2dOp,
        DenseOp,
        AddOp,
        SubOp,
        MulOp,
        LookupOp,
        PoolOp,
        RequantOp,
        ReshapeOp,
        SpaceToDepthOp,
        ConcatOp,
        SliceOp,
        PadOp,
        TransposeOp,
        ReverseOp,
    ],
)

__all__ = [
    "NAME",
    "AddOp",
    "AnyTensor",
    "ConcatOp",
    "Conv2dOp",
    "DenseOp",
    "Graph",
    "LookupOp",
    "MulOp",
    "PadOp",
    "PoolOp",
    "RequantOp",
    "ReshapeOp",
    "ReverseOp",
    "SliceOp",
    "SpaceToDepthOp",
    "SubOp",
    "TransposeOp",
    "element_limits",
    "number",
    "shape_of",
    "tensor_type",
    "window_extent",
]
