"""``plan-memory``: buffers that are in use together never share bytes, and what does not fit is said in one line."""

from __future__ import annotations

import re

import numpy as np
import pytest
from lowering import caught, kernel, lowered, of_type, reference, use_target
from networks import Net, apply, overlapping, parse, small_diana
from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, ModuleOp
from xdsl.dialects.memref import AllocOp
from xdsl.utils.exceptions import InterpretationError

from htvm_ir.errors import HtvmError
from htvm_ir.interpreters.run import run
from htvm_ir.interpreters.signature import arguments_of
from htvm_ir.passes.memory_fit import Fixed
from htvm_ir.passes.pipeline import pass_class, pipeline
from htvm_ir.passes.plan_memory import ARENA, BOUND, OFFSET, PlanMemory
from htvm_ir.passes.set_target import SetTarget
from htvm_ir.passes.workloads import main_function, module_target

FUNCTION = """
builtin.module attributes {{accel.target = #accel.target<"diana">}} {{
  func.func @main(%x: memref<256xi8, "L2">, %y: memref<256xi8, "L2">) {{
    %a = memref.alloc() : memref<256xi8, "L1">
    %b = memref.alloc() : memref<256xi8, "L1">
    {body}
    func.return
  }}
}}
"""
LOAD_A = 'dma.start @digital_in %x to %a : memref<256xi8, "L2"> to memref<256xi8, "L1">'
STORE_A = 'dma.start @digital_out %a to %y : memref<256xi8, "L1"> to memref<256xi8, "L2">'
LOAD_B = 'dma.start @digital_in %x to %b : memref<256xi8, "L2"> to memref<256xi8, "L1">'
JOB_A = (
    'accel.launch @digital "add" ins(%a, %a : memref<256xi8, "L1">, memref<256xi8, "L1">)'
    ' outs(%a : memref<256xi8, "L1">) job {c = 16 : i64, shift = 1 : i64, relu = 0 : i64}'
)


def offsets(module: ModuleOp) -> list[int]:
    """The offsets of the allocations, in order."""
    found = [op.attributes[OFFSET] for op in module.walk() if isinstance(op, AllocOp)]
    return [attribute.value.data for attribute in found if isinstance(attribute, IntegerAttr)]


def numbers(module: ModuleOp, name: str) -> dict[str, int]:
    attribute = module.attributes[name]
    assert isinstance(attribute, DictionaryAttr)
    return {k: v.value.data for k, v in attribute.data.items() if isinstance(v, IntegerAttr)}


def planned(*body: str) -> ModuleOp:
    return apply(parse(FUNCTION.format(body="\n".join(body))), PlanMemory())


@pytest.mark.parametrize(
    ("body", "shared"),
    [
        ((f"%t = {LOAD_A}", "dma.wait %t", f"%u = {LOAD_B}", "dma.wait %u"), True),
        ((f"%t = {LOAD_A}", f"%u = {LOAD_B}", "dma.wait %t", "dma.wait %u"), False),
        ((f"%t = {STORE_A}", f"%u = {LOAD_B}", "dma.wait %u", "dma.wait %t"), False),
        ((f"%t = {JOB_A}", "accel.await %t", f"%u = {LOAD_B}", "dma.wait %u"), True),
        ((f"%t = {JOB_A}", f"%u = {LOAD_B}", "accel.await %t", "dma.wait %u"), False),
    ],
    ids=["one after the other", "load in flight", "store in flight", "job done", "job in flight"],
)
def test_a_buffer_is_busy_until_it_is_waited_for(body: tuple[str, ...], shared: bool) -> None:
    module = planned(*body)
    assert offsets(module) == ([0, 0] if shared else [0, 256])
    assert numbers(module, ARENA) == numbers(module, BOUND) == {"L1": 256 if shared else 512, "L2": 0}


def test_a_view_of_a_view_keeps_its_buffer_alive() -> None:
    body = (
        '%v = "memref.cast"(%a) : (memref<256xi8, "L1">) -> memref<?xi8, "L1">',
        '%w = "memref.cast"(%v) : (memref<?xi8, "L1">) -> memref<256xi8, "L1">',
        f"%s = {LOAD_A}",
        "dma.wait %s",
        f"%t = {LOAD_B}",
        "dma.wait %t",
        f"%u = {STORE_A.replace('%a', '%w')}",
        "dma.wait %u",
    )
    assert offsets(planned(*body)) == [0, 256]


def test_an_offset_that_ignores_a_transfer_in_flight_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store of a tile is in flight while the next job writes; giving both the same bytes must not go unnoticed."""
    use_target(monkeypatch, overlapping(small_diana(64 * 1024)))
    net = Net((1, 16, 12, 16))
    module = net.module(net.conv(net.arguments[0], 32, (3, 3), pads=(1, 1, 1, 1)))
    inputs, expected = reference(module)
    lowered(module, "plan-memory", {"y": 4, "k": 16}, depth=2)
    assert not caught(module, inputs, expected)
    first, second = of_type(kernel(module), AllocOp)[-2:]
    second.attributes[OFFSET] = first.attributes[OFFSET]
    assert caught(module, inputs, expected) == {"overlay"}
    with pytest.raises(InterpretationError, match=r"launch @digital .* races with dma\.start @digital_out"):
        run(module, inputs, order="checked", overlay=True)


def test_kernels_share_their_memory_but_not_with_what_main_keeps() -> None:
    module = parse("""
      builtin.module attributes {accel.target = #accel.target<"diana">} {
        func.func private @one(%x: memref<128xi8, "L2">) {
          %a = memref.alloc() : memref<64xi8, "L2">
          %i = arith.constant 0 : index
          %v = memref.load %x[%i] : memref<128xi8, "L2">
          memref.store %v, %a[%i] : memref<64xi8, "L2">
          func.return
        }
        func.func private @two(%x: memref<128xi8, "L2">) {
          %a = memref.alloc() : memref<192xi8, "L2">
          %i = arith.constant 0 : index
          %v = memref.load %a[%i] : memref<192xi8, "L2">
          func.return
        }
        func.func @main() {
          %x = memref.alloc() : memref<128xi8, "L2">
          func.call @one(%x) : (memref<128xi8, "L2">) -> ()
          func.call @two(%x) : (memref<128xi8, "L2">) -> ()
          func.return
        }
      }
    """)
    apply(module, PlanMemory())
    first, second, kept = offsets(module)
    assert first + 64 <= kept or kept + 128 <= first
    assert second + 192 <= kept or kept + 128 <= second
    assert numbers(module, ARENA)["L2"] == numbers(module, BOUND)["L2"] == 320


def test_a_networks_plan_is_exact_and_no_larger_than_it_must_be() -> None:
    net = Net((1, 16, 8, 16))
    x = net.conv(net.arguments[0], 16, (3, 3), pads=(1, 1, 1, 1))
    module = net.module(net.add(net.conv(x, 16, (1, 1)), x))
    inputs, expected = reference(module)
    lowered(module, "plan-memory")
    np.testing.assert_array_equal(run(module, inputs, overlay=True)[0], expected)
    assert numbers(module, ARENA) == numbers(module, BOUND)


def test_what_does_not_fit_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net((1, 64, 64, 64))
    x = net.conv(net.arguments[0], 64, (1, 1))
    module = net.module(net.add(x, net.arguments[0]))
    with pytest.raises(HtvmError) as caught_error:
        apply(module, *(pass_class(name)() for name in pipeline(depth_first=False) if name != "lower-host"))
    message = str(caught_error.value)
    found = re.fullmatch(
        r"the network does not fit L2: (\d+) bytes needed .*, (\d+) there, (\d+) too many; largest: (.*)", message
    )
    assert found, message
    needed, there, missing = map(int, found.groups()[:3])
    assert needed - there == missing > 0
    assert sorted(found[4].split(", ")) == [f"'{name}' 1x64x64x64 (262144 bytes)" for name in ("t1", "t3")] + [
        "buffer 1x64x64x64 (262144 bytes)"
    ]


def classifier(l2_bytes: int) -> ModuleOp:
    """A lowered network with an input of 1024 bytes and an output of 10, on a DIANA with that much shared L2."""
    net = Net((1, 4, 16, 16))
    x = net.conv(net.arguments[0], 2, (3, 3), pads=(1, 1, 1, 1))
    module = net.module(net.dense(net.flatten(net.pool("max", x, (8, 8), (8, 8))), 10))
    apply(module, SetTarget(f"diana,shared_bytes={l2_bytes}"))
    return lowered(module, "plan-memory")


def places(module: ModuleOp) -> list[int]:
    given = [a.place for a in arguments_of(main_function(module))]
    return [place[1] for place in given if place is not None and place[0] == "L2"]


def test_the_callers_buffers_share_the_arena_only_if_there_is_no_room_beside_it() -> None:
    alone = classifier(1 << 18)
    target = module_target(alone)
    assert not places(alone)
    arena = numbers(alone, ARENA)["L2"]
    needed = (1 << 18) - Fixed.of(alone, target)["L2"].room + arena
    assert not places(classifier(needed + 1024 + 32))
    shared = classifier(needed + 1024)
    assert len(places(shared)) == 2
    larger = numbers(shared, ARENA)["L2"] - arena
    assert 0 < larger < 1024  # the conversion of the input needs it
    assert len(places(classifier(needed + larger))) == 2
    assert not places(classifier(needed + larger - 32))  # in another memory, perhaps
    with pytest.raises(HtvmError, match=r"does not fit L2: .* 32 too many"):
        classifier(needed - 32)


def test_what_shares_the_arena_is_exact() -> None:
    alone = classifier(1 << 18)
    needed = (1 << 18) - Fixed.of(alone, module_target(alone))["L2"].room
    shared = classifier(needed + numbers(alone, ARENA)["L2"] + 1024)
    inputs = [np.random.default_rng(0).integers(-128, 128, (1, 4, 16, 16)).astype(np.int8)]
    (expected,) = run(alone, inputs)
    np.testing.assert_array_equal(run(shared, inputs, overlay=True)[0], expected)
    converted = next(op for op in main_function(shared).body.block.ops if isinstance(op, AllocOp))
    offset = converted.attributes[OFFSET]
    assert isinstance(offset, IntegerAttr)
    assert abs(offset.value.data - places(shared)[0]) >= 1024  # a loop reads the one while it writes the other


def test_without_a_target_there_is_nothing_to_plan_for() -> None:
    module = parse(FUNCTION.format(body="").replace(' attributes {accel.target = #accel.target<"diana">}', ""))
    with pytest.raises(HtvmError, match="run set-target first"):
        apply(module, PlanMemory())
