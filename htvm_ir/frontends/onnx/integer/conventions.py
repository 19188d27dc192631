"""What the flows that write integer nets leave unsaid in the file.

DIANA's flow and QuantLab feed int8. NEMO feeds uint8 (images), and is known by its requantisation: in integers,
``Cast -> Mul -> Div -> Cast``, where the others divide floats and take the Floor.
"""

from __future__ import annotations

import numpy as np

from htvm_ir.frontends.onnx.graph import INT8, UINT8, Graph


def unstated_range(graph: Graph) -> tuple[int, int]:
    """The integers of a float input that the network does not quantise itself."""
    divisors = (node.operand(1) for node in graph.nodes if node.op == "Div")
    arrays = (graph.constants[name] for name in divisors if name in graph.constants)
    return UINT8 if any(np.issubdtype(array.dtype, np.integer) for array in arrays) else INT8
