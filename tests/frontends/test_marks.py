"""What tells the conventions apart, before an importer is loaded."""

from __future__ import annotations

import subprocess
import sys

from htvm_ir.frontends.onnx.graph import Graph, Input, Node
from htvm_ir.frontends.onnx.marks import MARKS, may_be_quantised
from htvm_ir.frontends.onnx.qoperator import OPERATORS

COMPILE = """
import sys
from htvm_ir.driver.compile import compile_model
compile_model("zoo:dae")
print(*(name for name in ("htvm_ir.frontends.onnx.quantised.network", "ortools") if name in sys.modules))
"""


def graph(element: str, op: str, domain: str = "") -> Graph:
    node = Node(op, domain, "node", ("x",), ("y",))
    return Graph("net", [Input("x", (1, 4), element)], ["y"], [node], {}, {})


def test_all_operators_made_for_quantisation_are_marks():
    assert set(OPERATORS) < MARKS


def test_a_network_without_any_sign_is_none():
    assert not may_be_quantised(graph("FLOAT", "Add"))
    assert may_be_quantised(graph("FLOAT", "QuantizeLinear"))
    assert may_be_quantised(graph("FLOAT", "QLinearAdd", "com.microsoft"))
    assert may_be_quantised(graph("INT8", "Add"))


def test_compiling_an_integer_net_loads_neither_the_other_importer_nor_cp_sat():
    done = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
