"""Which parts of a network are cut out, with a compiler that only notes what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from float_networks import GELU, Array, convolution, gelu, model, node, onnxruntime, qdq, quantise, samples, two_regions
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.func import FuncOp

from htvm_ir.dialects.external import ExternalOp
from htvm_ir.errors import HtvmError
from htvm_ir.frontends.onnx import import_model
from htvm_ir.frontends.onnx.external.kernel import Kernel
from htvm_ir.frontends.onnx.external.regions import DOMAIN, cut, region_of
from htvm_ir.frontends.onnx.reader import read_graph


@dataclass
class Notes:
    """A compiler that keeps the models."""

    models: dict[str, onnx.ModelProto] = field(default_factory=dict[str, onnx.ModelProto])

    def __call__(self, symbol: str, net: onnx.ModelProto) -> Kernel:
        onnx.checker.check_model(net, full_check=True)
        self.models[symbol] = net
        return Kernel(symbol, f"static void {symbol}(void) {{}}", (), 0)

    def kinds(self) -> list[list[str]]:
        """The operators of each model."""
        return [[inner.op_type for inner in net.graph.node] for net in self.models.values()]


def externals(net: onnx.ModelProto, notes: Notes, **options: Any) -> list[ExternalOp]:
    """The external kernels of a network, which is verified."""
    module = import_model(net, compiler=notes, **options)
    module.verify()
    (main,) = (op for op in module.ops if isinstance(op, FuncOp))
    return [op for op in main.body.block.ops if isinstance(op, ExternalOp)]


def test_a_region_ends_with_integers() -> None:
    first, constants = convolution("in", "a", 4, 1)
    nodes = [*quantise("x", "in"), *first, node("LayerNormalization", "a gamma", "g")]
    nodes += [*gelu("g", "e"), *quantise("e", "h"), node("Relu", "h", "r")]
    nodes += [node("QuantizeLinear", "r s z", "y")]
    notes = Notes()
    (external,) = externals(
        qdq(nodes, {**constants, **GELU, "gamma": np.ones(6, np.float32)}, inputs={"x": (1, 4, 5, 6)}), notes
    )
    assert notes.kinds() == [
        ["DequantizeLinear", "LayerNormalization", "Div", "Erf", "Add", "Mul", "Mul", "QuantizeLinear"]
    ]
    assert str(external.results_[0].type) == "tensor<1x4x5x6xi8>"
    assert [str(value.type) for value in external.inputs] == ["tensor<1x4x5x6xi8>"]
    assert "LayerNormalization 'g': operator is not supported" in external.reason.data


def test_regions_that_are_read_apart_have_one_result_each() -> None:
    notes = Notes()
    found = externals(two_regions(), notes, io="float")
    assert [len(op.results_) for op in found] == [1] * len(found)
    assert ["DequantizeLinear", "LayerNormalization"] in notes.kinds()
    assert ["QuantizeLinear"] in notes.kinds()


def test_a_node_with_several_results_is_in_the_region_of_each() -> None:
    nodes = [
        *quantise("x", "in"),
        node("LayerNormalization", "in gamma", "n"),
        node("Split", "n", "a b", axis=1),
        *quantise("a", "c"),
        *quantise("b", "d"),
        node("Add", "c d", "f"),
        node("QuantizeLinear", "f s z", "y"),
    ]
    notes = Notes()
    externals(qdq(nodes, {"gamma": np.ones(6, np.float32)}, inputs={"x": (1, 4, 5, 6)}), notes)
    assert notes.kinds() == [["DequantizeLinear", "LayerNormalization"], *[["Split", "QuantizeLinear"]] * 2]


def test_an_integer_net_takes_a_region_up_to_its_clip() -> None:
    nodes = [
        *gelu("x", "g"),
        node("Div", "g s", "d"),
        node("Floor", "d", "f"),
        node("Clip", "f lo hi", "q"),
        node("Conv", "q w", "c"),
        node("Mul", "c t", "r"),
        node("Softmax", "r", "y", axis=1),
    ]
    constants: dict[str, Any] = {
        **GELU,
        "s": np.float32(0.03125),
        "lo": np.float32(-128),
        "hi": np.float32(127),
        "t": np.float32(0.125),
    }
    constants["w"] = np.random.default_rng(0).integers(-9, 9, (2, 3, 1, 1)).astype(np.float32)
    net = model(nodes, constants, inputs={"x": (1, 3, 4, 4)})
    notes = Notes()
    first, second = externals(net, notes, io="float")
    assert [str(op.results_[0].type) for op in (first, second)] == ["tensor<1x3x4x4xi8>", "tensor<1x2x4x4xf32>"]
    assert notes.kinds()[0][-4:] == ["Div", "Floor", "Clip", "Cast"]
    assert notes.kinds()[1] == ["Cast", "Mul", "Softmax"]
    (alone,) = externals(net, Notes())
    assert str(alone.inputs[0].type) == "tensor<1x3x4x4xf32>"


def test_a_network_without_anything_quantised_is_none_for_us() -> None:
    nodes = [node("Conv", "x w", "c"), node("Erf", "c", "y")]
    net = model(nodes, {"w": np.full((2, 3, 1, 1), 0.3)}, inputs={"x": (1, 3, 4, 4)})
    with pytest.raises(HtvmError, match="Conv 'c'"):
        import_model(net, compiler=Notes())


def test_without_a_compiler_the_operator_and_the_extra_are_named() -> None:
    net = qdq([*quantise("x", "in"), node("Erf", "in", "e"), node("Asinh", "e", "y")], {}, inputs={"x": (1, 4)})
    net.graph.node[2].op_type = "Acosh"
    hint = "TVM can compile it for the CPU: pip install 'htvm-ir[tvm]'"
    with pytest.raises(HtvmError, match=r"Acosh 'e': operator is not supported.*; TVM can .*htvm-ir\[tvm\]") as caught:
        import_model(net, hint=hint)
    assert "\n" not in str(caught.value)


def test_float_edges_need_a_compiler() -> None:
    with pytest.raises(HtvmError, match=r"--io float.*choose --fallback tvm"):
        import_model(two_regions(), io="float")


def test_what_is_no_tensor_between_kernels_is_refused() -> None:
    nodes = [*quantise("x", "in"), node("ArgMax", "in", "y", axis=1)]
    with pytest.raises(HtvmError, match=r"ArgMax 'y'.*float32, int8, uint8 or int32"):
        import_model(qdq(nodes, {}, inputs={"x": (1, 4, 2, 2)}), compiler=Notes())


def test_a_shape_that_depends_on_data_is_refused() -> None:
    nodes = [*quantise("x", "in"), node("NonZero", "in", "n"), node("Cast", "n", "y", to=1)]
    with pytest.raises(HtvmError, match="the shape of 'n' is not known"):
        import_model(qdq(nodes, {}, inputs={"x": (1, 4, 2, 2)}), compiler=Notes())


def dag(reads: Sequence[tuple[int, int]], outputs: Sequence[int]) -> onnx.ModelProto:
    """Sums of two earlier tensors each; tensor 0 is the input."""
    nodes = [node("Add", f"t{a % (n + 1)} t{b % (n + 1)}", f"t{n + 1}") for n, (a, b) in enumerate(reads)]
    names = sorted({f"t{1 + o % len(reads)}" for o in outputs})
    return model(nodes, inputs={"t0": (1, 2)}, outputs=names)


@settings(deadline=None, max_examples=60)
@given(
    reads=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=12),
    outputs=st.lists(st.integers(0, 30), min_size=1, max_size=3),
    chosen=st.sets(st.integers(1, 12)),
)
def test_any_choice_of_nodes_is_cut_into_convex_regions(
    reads: list[tuple[int, int]], outputs: list[int], chosen: set[int]
) -> None:
    """Sorting the cut graph succeeds, every node is computed once, and the sums stay what they were."""
    net = dag(reads, outputs)
    graph = read_graph(net)
    external = {n.output: "why" for n in graph.nodes if int(n.output[1:]) in chosen}
    part = cut(graph, external, ())
    regions = [region for n in part.nodes if (region := region_of(n)) is not None]
    done = [n.output for r in regions for n in r.nodes] + [n.output for n in part.nodes if n.domain != DOMAIN]
    assert sorted(done) == sorted(n.output for n in graph.nodes)
    values: dict[str, Array] = samples(net, 0)
    expected = dict(zip(graph.outputs, onnxruntime(net, values), strict=True))
    for n in part.nodes:
        region = region_of(n)
        local = {name: values[name] for name in n.inputs}
        for inner in [n] if region is None else region.nodes:
            local[inner.output] = local[inner.inputs[0]] + local[inner.inputs[1]]
        values[n.output] = local[n.output]
    assert all(np.allclose(values[name], value, rtol=1e-5) for name, value in expected.items())


def test_a_tensor_is_function_of_bytes_without_help() -> None:
    """What one 8-bit tensor determines stays a table of ours: the fallback is for the rest."""
    notes = Notes()
    nodes = [*quantise("x", "in"), *gelu("in", "g"), node("QuantizeLinear", "g s z", "y")]
    assert externals(qdq(nodes, GELU, inputs={"x": (1, 4)}), notes) == []
