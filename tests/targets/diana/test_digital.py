"""The digital core's contract: what it refuses, and that its jobs compute exactly what the workload says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from htvm_ir import arithmetic
from htvm_ir.targets.diana import costs, diagonal, packing
from htvm_ir.targets.diana.digital import OX_LAYOUT, VECTOR_LAYOUT, Digital
from htvm_ir.targets.diana.instruction import STOP, DigitalInstruction, Mode
from htvm_ir.targets.diana.parameters import DIANA
from htvm_ir.targets.diana.target import diana
from htvm_ir.targets.target import Call, Data
from htvm_ir.targets.workload import Requant, Tensor, Tile, Workload, dimensions, tile_workload, tiles, windows

Array = NDArray[Any]
ENGINE = Digital()
TARGET = diana()
REQUANT = Requant("floor", (1,), (8,), 0, -128, 127)


def conv(
    c: int = 16,
    size: tuple[int, int] = (8, 8),
    k: int = 16,
    kernel: tuple[int, int] = (3, 3),
    *,
    strides: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (1, 1, 1, 1),
    dilations: tuple[int, int] = (1, 1),
    groups: int = 1,
    requant: Requant | None = REQUANT,
    seed: int = 0,
) -> Workload:
    """A convolution with random weights."""
    random = np.random.default_rng(seed)
    spans = [d * (f - 1) + 1 for d, f in zip(dilations, kernel, strict=True)]
    out = [(n + pads[i] + pads[i + 2] - spans[i]) // strides[i] + 1 for i, n in enumerate(size)]
    return Workload(
        "conv2d",
        (Tensor((1, c, *size)),),
        Tensor((1, k, *out)),
        random.integers(-128, 128, (k, c // groups, *kernel)).astype(np.int8),
        random.integers(-50000, 50000, k).astype(np.int32),
        strides,
        pads,
        dilations,
        groups,
        requant,
    )


def dense(c: int = 32, k: int = 16, seed: int = 0) -> Workload:
    """A dense layer with random weights."""
    random = np.random.default_rng(seed)
    weights = random.integers(-128, 128, (k, c)).astype(np.int8)
    bias = random.integers(-50000, 50000, k).astype(np.int32)
    return Workload("dense", (Tensor((1, c)),), Tensor((1, k)), weights, bias, requant=REQUANT)


def add(*shape: int) -> Workload:
    """A sum of two maps, or of two vectors."""
    tensor = Tensor((1, *shape))
    return Workload("add", (tensor, tensor), tensor, requant=replace(REQUANT, shift=(1,)))


def with_requant(workload: Workload, **changes: Any) -> Workload:
    assert workload.requant is not None
    return replace(workload, requant=replace(workload.requant, **changes))


SUM = add(4, 8, 8)
REFUSED = {
    "no pool;": Workload("pool", (Tensor((1, 16, 8, 8)),), Tensor((1, 16, 4, 4))),
    "no requant;": Workload("requant", (Tensor((1, 16), "i32"),), Tensor((1, 16)), requant=REQUANT),
    "shape [1, 4, 9]": add(4, 9),
    "shape [2, 16]": replace(dense(), inputs=(Tensor((2, 32)),), output=Tensor((2, 16))),
    "8-bit signed": replace(conv(), inputs=(Tensor((1, 16, 8, 8), "i16"),)),
    "requantise to i8": replace(conv(), output=Tensor((1, 16, 8, 8), "i32")),
    "must be 8-bit": replace(SUM, inputs=(Tensor((1, 4, 8, 8)), Tensor((1, 4, 8, 8), "i32"))),
    "only requantised": replace(conv(), requant=None),
    "rounding half_up": with_requant(conv(), rounding="half_up"),
    "a multiplier": with_requant(conv(), multiplier=(3,)),
    "multiplier other than 1": with_requant(conv(k=2), multiplier=(1, 3)),
    "a shift for each channel": with_requant(conv(k=2), shift=(7, 8)),
    "shift 32": with_requant(conv(), shift=(32,)),
    "zero point -3": with_requant(conv(), zero_point=-3),
    "range -128 to 100": with_requant(conv(), hi=100),
    "range -5 to 127": with_requant(conv(), lo=-5),
    "range 1 to 127": with_requant(SUM, lo=1),
    "not constant": replace(conv(), weights=None),
    "do not fit 8 bits": replace(conv(), weights=np.full((16, 16, 3, 3), 128, np.int16)),
    "not fit 8": replace(conv(), weights=np.full((16, 16, 3, 3), -129, np.int16)),
    "kernel 2x3": conv(kernel=(2, 3)),
    "kernel 3x9": conv(kernel=(3, 9), pads=(1, 4, 1, 4)),
    "stride 3x3": conv(strides=(3, 3)),
    "stride 1x2": conv(strides=(1, 2)),
    "dilation": conv(dilations=(2, 1)),
    "2 groups": conv(groups=2),
    "8 groups": conv(c=8, k=16, groups=8),
    "padding [16, 0, 0, 0]": conv(pads=(16, 0, 0, 0)),
    "16 output channels need 65600 bytes": conv(c=4096, size=(1, 1), kernel=(1, 1), pads=(0, 0, 0, 0)),
    "need 65792 bytes": dense(c=4096),
}


@pytest.mark.parametrize("text", REFUSED)
def test_refusals_say_what_is_wrong(text: str):
    reason = ENGINE.match(REFUSED[text])
    assert reason is not None and text in reason
    assert "\n" not in reason


def test_switched_off_choices_are_refused():
    published = Digital(replace(DIANA, sum_relu=False))
    relu = with_requant(SUM, lo=0)
    assert ENGINE.match(relu) is None
    assert "ReLU after a sum" in (published.match(relu) or "")
    assert published.match(SUM) is None


ACCEPTED = {
    "3x3": conv(),
    "7x1, stride 2": conv(kernel=(7, 1), pads=(0, 0, 3, 0), strides=(2, 2)),
    "one column, one channel": conv(c=1, size=(5, 1), k=1, pads=(1, 2, 1, 0)),
    "padding of 15": conv(size=(1, 1), kernel=(1, 1), pads=(15, 15, 15, 15)),
    "depthwise": conv(c=5, k=5, groups=5),
    "one channel in one group": conv(c=1, k=1, groups=1),
    "no bias": replace(conv(), bias=None),
    "weights of a wider type": replace(conv(), weights=np.full((16, 16, 3, 3), -128, np.int32)),
    "ReLU": with_requant(conv(), lo=0),
    "shift 31": with_requant(conv(), shift=(31,)),
    "shift 0 does not round": with_requant(conv(), shift=(0,), rounding="half_even"),
    "equal shifts": with_requant(conv(k=2), shift=(7, 7), multiplier=(1, 1)),
    "largest weight block": conv(c=4092, size=(1, 1), kernel=(1, 1), pads=(0, 0, 0, 0)),
    "dense": dense(),
    "odd dense": dense(c=7, k=3),
    "largest dense": dense(c=4080),
    "sum of maps": SUM,
    "sum of vectors": add(33),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepts(name: str):
    assert ENGINE.match(ACCEPTED[name]) is None


def test_layouts():
    assert ENGINE.layouts(conv()) == (OX_LAYOUT, OX_LAYOUT)
    assert ENGINE.layouts(SUM) == (OX_LAYOUT,) * 3
    assert ENGINE.layouts(dense()) == (VECTOR_LAYOUT,) * 2
    assert OX_LAYOUT.stored_shape((1, 3, 5, 17)) == (1, 3, 5, 32)
    assert VECTOR_LAYOUT.stored_shape((1, 17)) == (1, 32)


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    """What the engine accepts, small."""
    seed, shift = draw(st.integers(0, 2**16)), draw(st.integers(0, 14))
    kind = draw(st.sampled_from(["conv", "conv", "depthwise", "dense", "add"]))
    if kind == "dense":
        workload = dense(draw(st.integers(1, 40)), draw(st.integers(1, 50)), seed)
    elif kind == "add":
        workload = add(*draw(st.sampled_from([(5, 3, 20), (4, 2, 16), (1, 7, 3), (50,)])))
    else:
        fy, fx = draw(st.tuples(*[st.sampled_from(DIANA.kernels)] * 2))
        top, left, bottom, right = draw(st.tuples(*[st.integers(0, n) for n in (fy, fx, fy, fx)]))
        h = draw(st.integers(max(1, fy - top - bottom), max(1, fy - top - bottom) + 8))
        w = draw(st.integers(max(1, fx - left - right), max(1, fx - left - right) + 20))
        c = draw(st.integers(1, 6) if kind == "conv" else st.integers(2, 35))
        k, groups = (draw(st.integers(1, 35)), 1) if kind == "conv" else (c, c)
        stride = draw(st.sampled_from([1, 2]))
        options: dict[str, Any] = {"strides": (stride, stride), "pads": (top, left, bottom, right), "groups": groups}
        workload = conv(c, (h, w), k, (fy, fx), seed=seed, **options)
        workload = replace(workload, mapping=draw(st.sampled_from(ENGINE.mappings(workload))))
    return with_requant(workload, shift=(shift,), lo=draw(st.sampled_from([-128, 0])))


def operands(workload: Workload, seed: int = 0) -> list[Array]:
    """Random activations."""
    random = np.random.default_rng(seed)
    return [random.integers(-128, 128, t.shape).astype(np.int8) for t in workload.inputs]


def reference(workload: Workload, inputs: list[Array]) -> Array:
    """The workload in exact arithmetic, hardware not considered."""
    w = workload
    if w.kind == "add":
        acc = arithmetic.add(*inputs)
    elif w.kind == "dense":
        assert w.weights is not None
        acc = arithmetic.dense(inputs[0], w.weights, w.bias)
    else:
        assert w.weights is not None
        acc = arithmetic.conv2d(inputs[0], w.weights, w.bias, w.strides, w.pads, w.dilations, w.groups)
    r = w.requant
    assert r is not None
    return arithmetic.requantize(acc, r.rounding, r.multiplier, r.shift, r.zero_point, r.lo, r.hi, np.dtype(np.int8))


def execute(workload: Workload, inputs: list[Array], constants: Array) -> Array:
    """The engine's job on buffers of the size it asks for, their padding full of noise."""
    random = np.random.default_rng(9)
    *sizes, out_size = ENGINE.local_bytes(workload)
    *layouts, out_layout = ENGINE.layouts(workload)
    buffers: list[Array] = []
    for value, layout, size in zip(inputs, layouts, sizes, strict=True):
        buffer = random.integers(0, 256, size).astype(np.uint8)
        held = layout.pack(np.ones(value.shape, np.bool_))
        stored = layout.pack(value).view(np.uint8)
        buffer[: stored.size][held] = stored[held]
        if workload.kind == "dense":
            buffer[: stored.size] = stored  # the weights of padded inputs are zero, whatever these hold
        buffers.append(buffer)
    output = random.integers(0, 256, out_size).astype(np.uint8)
    ENGINE.execute(ENGINE.job(workload), buffers, constants, output)
    shape = workload.output.shape
    return out_layout.unpack(output[: out_layout.stored_size(shape)].view(np.int8), shape)


@settings(deadline=None, max_examples=60)
@given(workloads())
def test_a_job_computes_the_workload(workload: Workload):
    assert ENGINE.match(workload) is None
    inputs = operands(workload)
    np.testing.assert_array_equal(execute(workload, inputs, ENGINE.pack(workload)), reference(workload, inputs))


def tile_operands(workload: Workload, tile: Tile, inputs: list[Array]) -> list[Array]:
    """The windows of the activations, without the zeros around them."""
    cut: list[Array] = []
    for value, axes in zip(inputs, windows(workload, tuple(tile)), strict=False):
        spans = [w.span(tile, n)[:2] for w, n in zip(axes, value.shape, strict=True)]
        cut.append(value[tuple(slice(start, start + size) for start, size in spans)])
    return cut


@settings(deadline=None, max_examples=40)
@given(workloads(), st.data())
def test_the_jobs_of_a_legal_tiling_compute_the_workload(workload: Workload, data: st.DataObject):
    problem = ENGINE.problem(workload, TARGET)
    sizes = {d.name: data.draw(st.sampled_from(d.sizes)) for d in problem.dimensions}
    order = data.draw(st.sampled_from(problem.orders))
    inputs, packed = operands(workload), ENGINE.pack(workload)
    result = np.full(workload.output.shape, 77, np.int8)
    extents = dimensions(workload)
    cut = tuple(name for name in order if sizes[name] < extents[name])
    for tile in tiles({n: extents[n] for n in cut}, sizes, cut):
        part = tile_workload(workload, tile)
        assert ENGINE.match(part) is None
        start, size = ENGINE.packed_range(workload, tile)
        values = execute(part, tile_operands(workload, tile, inputs), packed[start : start + size])
        spans = [w.span(tile, n)[:2] for w, n in zip(windows(workload, cut)[-1], result.shape, strict=True)]
        result[tuple(slice(first, first + count) for first, count in spans)] = values
    np.testing.assert_array_equal(result, reference(workload, inputs))


@settings(deadline=None, max_examples=40)
@given(workloads())
def test_the_constants_of_a_tile_are_a_range_of_those_of_the_whole(workload: Workload):
    packed = ENGINE.pack(workload)
    assert ENGINE.packed_range(workload, {}) == (0, packed.size)
    for tile in tiles({"k": workload.output.shape[1]}, {"k": 16}, ["k"]):
        part = tile_workload(workload, tile)
        if part.is_depthwise != workload.is_depthwise:
            continue  # a tile of one channel is an ordinary convolution; the problem does not offer it
        start, size = ENGINE.packed_range(workload, tile)
        own = ENGINE.pack(part)
        tails = {"channels": packing.DEPTHWISE_TAIL, "blocks4": 12, "blocks8": 8}
        tail = tails.get(workload.mapping.partition("_")[0], 0)  # belongs to the next group, or is zero
        assert size == own.size
        np.testing.assert_array_equal(packed[start : start + size - tail], own[: own.size - tail])


def decode(data: Data) -> DigitalInstruction:
    """The one work entry of a program, which ends with the stop entry and lies where the core can fetch it.

    One entry alone is what the driver makes a program of.
    """
    assert data.memory == "L2"
    if len(data.words) == 32:
        return DigitalInstruction.from_words(data.words)
    assert len(data.words) == 64
    assert DigitalInstruction.from_words(data.words[32:]) == STOP
    return DigitalInstruction.from_words(data.words[:32])


def test_call_of_a_convolution():
    workload = conv(c=5, size=(9, 20), k=33, kernel=(5, 3), strides=(2, 2), pads=(2, 1, 1, 0))
    call = ENGINE.call(ENGINE.job(workload), [512], 4096, "weights")
    program, *rest = call.arguments
    assert call.function == "diana_digital_conv"
    assert rest == ["weights", 3 * packing.conv_block_bytes(5, 5, 3)]
    assert isinstance(program, Data)
    assert decode(program) == DigitalInstruction.conv(
        input=512, output=4096, c=5, k=3, cx=32, cy=9, fx=3, fy=5, ox=1, oy=4, shift=8, stride=2, pad_left=1,
        pad_top=2, pad_bottom=0, hidden_columns=12,
    )  # fmt: skip


def test_call_of_a_depthwise_convolution():
    workload = with_requant(conv(c=6, size=(7, 17), k=6, groups=6), lo=0)
    assert ENGINE.mappings(workload)[:3] == ("channels", "blocks8", "blocks4")
    call = ENGINE.call(ENGINE.job(workload), [0], 2048, "weights")
    program, *rest = call.arguments
    assert call.function == "diana_digital_depthwise"
    assert rest == ["weights", 6, 9, 7 * 32, 7 * 32]
    assert isinstance(program, Data)
    entry = decode(program)
    assert (entry.c, entry.k, entry.activation, entry.pad_bottom, entry.hidden_columns) == (1, 1, 1, 1, 15)


def test_diagonal_blocks():
    """35 channels in jobs of 8: two lists of two jobs, and one of one job of three channels."""
    workload = replace(conv(c=35, size=(7, 17), k=35, groups=35), mapping="blocks8")
    job = ENGINE.job(workload)
    call = ENGINE.call(job, [0], 8192, "weights")
    program, *rest = call.arguments
    assert (call.function, rest) == ("diana_digital_blocks", ["weights", 35, 0])
    for beside in (False, True):
        prepared = Call("diana_digital_prepare_blocks", (program, 35, 0, int(beside)))
        assert ENGINE.prepare(job, [0], 8192, beside) == prepared
    assert isinstance(program, Data)
    entry = decode(program)
    assert (entry.c, entry.k, entry.weights, entry.input, entry.output) == (8, 1, 0, 0, 8192)
    block = 16 * (8 * 9 + 4)
    assert [(start, [e.c for e in entries]) for start, entries in diagonal.triggers(entry, 35)] == [
        (0, [8, 8]),
        (block, [8, 8]),
        (2 * block, [3]),
    ]
    (_, (_, second)), *_ = diagonal.triggers(entry, 35)
    assert second == replace(entry, weights=8, input=8 * 7 * 32, output=8192 + 8 * 7 * 32)
    compute = 4 * costs.compute_cycles(entry) + costs.compute_cycles(replace(entry, c=3))
    assert ENGINE.cycles(job) == compute + 3 * costs.weight_stream_cycles(block + 8)


def test_calls_of_vectors():
    call = ENGINE.call(ENGINE.job(dense(c=33, k=17)), [96], 160, "&weights[64]")
    assert call.function == "diana_digital_dense"
    program, *rest = call.arguments
    assert rest == ["&weights[64]", 2 * packing.dense_block_bytes(33)]
    assert isinstance(program, Data)
    assert decode(program) == DigitalInstruction.dense(input=96, output=160, c=3, k=2, shift=8)

    call = ENGINE.call(ENGINE.job(with_requant(SUM, lo=0)), [32, 64], 128, "NULL")
    (program,) = call.arguments
    assert call.function == "diana_digital_add"
    assert isinstance(program, Data)
    elements = 4 * 8 * 16
    assert decode(program) == DigitalInstruction.add(
        left=32, right=64, output=128, c=elements // 16, shift=1, relu=True
    )


@settings(deadline=None, max_examples=30)
@given(workloads())
def test_programs_decode_to_valid_jobs(workload: Workload):
    """The addresses are those given; the cycles are those of the decoded entry and of what its trigger streams."""
    job = ENGINE.job(workload)
    inputs = [1024 * (1 + i) for i in range(len(workload.inputs))]
    call = ENGINE.call(job, inputs, 8192, "weights")
    if ENGINE.preparation(job) is not None:  # then the entry is what a list is made of
        call = ENGINE.prepare(job, inputs, 8192, False)
    program = call.arguments[0]
    assert isinstance(program, Data)
    entry = decode(program)
    assert (entry.input, entry.output) == (1024, 8192)
    assert entry.mode == {"conv2d": Mode.CONV, "dense": Mode.DENSE, "add": Mode.ADD}[workload.kind]
    if len(program.words) == 32:
        return
    one = costs.compute_cycles(entry) + costs.weight_stream_cycles(costs.weight_bytes(entry))
    assert ENGINE.cycles(job) == one * (workload.output.shape[1] if workload.is_depthwise else 1)


def test_local_bytes_hold_what_a_job_writes():
    """All 16 lanes of the last block, and of a depthwise job the planes behind the last channel."""
    plane = 8 * 16
    depthwise = conv(c=5, k=5, groups=5)
    blocks = replace(depthwise, mapping="blocks4")
    for workload, planes in ((conv(k=17), 32), (depthwise, 5 + 15), (blocks, 4 + 16), (SUM, 4)):
        *_, written = ENGINE.local_bytes(workload)
        assert planes * plane <= written <= planes * plane + 2 * DIANA.dma_granule
    assert prod(ENGINE.local_bytes(dense(c=33, k=17))) == (64 + 32) * (32 + 32)


def test_buffers_that_are_too_small_are_an_error():
    job, packed = ENGINE.job(conv(k=17)), ENGINE.pack(conv(k=17))
    size, _ = ENGINE.local_bytes(conv(k=17))
    with pytest.raises(ValueError, match="the job reaches byte"):
        ENGINE.execute(job, [np.zeros(size, np.uint8)], packed, np.zeros(17 * 8 * 16, np.uint8))


def test_problem_names_the_dimensions_of_the_workload():
    cases: Mapping[str, Workload] = {"k y": conv(), "k": SUM}
    for names, workload in cases.items():
        problem = ENGINE.problem(workload, TARGET)
        assert [d.name for d in problem.dimensions] == names.split()
        assert {d.name: d.extent for d in problem.dimensions}.items() <= dimensions(workload).items()
