"""The C package: names, interface, data, and that every compiler accepts it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects import arith, builtin, func, memref, scf
from xdsl.dialects.builtin import BytesAttr, DenseIntOrFPElementsAttr, MemRefType, ModuleOp, StringAttr, TensorType, i8
from xdsl.parser import Parser

from htvm_ir.backend.c.arrays import global_text, numbers_text, words_text
from htvm_ir.backend.c.interface import Interface
from htvm_ir.backend.c.names import KEYWORDS, Names, identifier
from htvm_ir.backend.c.package import render, render_package
from htvm_ir.dialects.accel import Accel
from htvm_ir.dialects.dma import Dma
from htvm_ir.errors import HtvmError
from htvm_ir.targets.diana.soc import RUNTIME

FLAGS = [
    *("-std=c11", "-ffreestanding", "-O1", "-Werror"),
    *(f"-W{name}" for name in ("all", "extra", "conversion", "shadow", "pedantic", "strict-prototypes")),
]


def parse(text: str) -> ModuleOp:
    """A module for the built-in target."""
    context = Context()
    for dialect in (builtin.Builtin, arith.Arith, func.Func, memref.MemRef, scf.Scf, Accel, Dma):
        context.load_dialect(dialect)
    attributes = 'accel.target = #accel.target<"diana">, accel.arena = {L1 = 4096 : i64, L2 = 4096 : i64}'
    module = Parser(context, f"builtin.module attributes {{{attributes}}} {{ {text} }}").parse_module()
    module.verify()
    return module


def kernels(text: str) -> str:
    """The kernels' C source of a module."""
    return render(parse(text))["src/tvmgen_default_kernels.c"]


def compilers() -> list[list[str]]:
    gcc = shutil.which("gcc")
    return [*([[gcc]] if gcc else []), [sys.executable, "-m", "ziglang", "cc"]]


def compile_all(files: dict[str, str], folder: Path) -> None:
    """Every compiler takes every file without a warning; C++ takes the public headers."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    includes = ["-I", str(folder / "include"), "-I", str(RUNTIME)]
    for compiler in compilers():
        for source in folder.glob("src/*.c"):
            command = [*compiler, *FLAGS, *includes, "-c", str(source), "-o", str(folder / "out.o")]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    application = folder / "application.cpp"
    public = sorted(p.name for p in folder.glob("include/*.h") if not p.stem.endswith("_kernels"))
    application.write_text("".join(f'#include "{name}"\n' for name in public))
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "riscv32-freestanding", *FLAGS[1:-1], *includes]
    command += ["-x", "c++", "-c", str(application), "-o", str(folder / "out.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


COPY = '@copy(%in: memref<2x4xi8, "L2">, %out: memref<2x4xi8>) attributes {accel.engine = "digital"} {'
NETWORK = """
"memref.global"() <{sym_name = "scale", type = memref<2x2xi32, "L2">, sym_visibility = "private", constant,
  initial_value = dense<[[-2147483648, 2147483647], [0, 1]]> : tensor<2x2xi32>}> : () -> ()
func.func private @kernel(%in: memref<2x4xi8>, %out: memref<2x4xi8, "L2">, %unused: memref<4xi8, "L2">) {
  %low = arith.constant 0 : index
  %one = arith.constant 1 : index
  %two = arith.constant 2 : index
  %three = arith.constant 3 : i32
  %smallest = arith.constant -2147483648 : i32
  %table = memref.get_global @scale : memref<2x2xi32, "L2">
  %row = memref.subview %in[1, 0] [1, 4] [1, 1] : memref<2x4xi8> to memref<1x4xi8, strided<[4, 1], offset: 4>>
  scf.for %y = %low to %two step %one {
    %a, %b = scf.for %x = %low to %two step %one iter_args(%p = %three, %q = %smallest) -> (i32, i32) {
      %s = memref.load %table[%y, %x] : memref<2x2xi32, "L2">
      %n = memref.load %row[%low, %x] : memref<1x4xi8, strided<[4, 1], offset: 4>>
      %w = arith.extui %n : i8 to i32
      %bits = arith.ori %w, %s : i32
      scf.yield %q, %bits : i32, i32
    }
    %less = arith.cmpi ult, %a, %b : i32
    %r = scf.if %less -> (i8) {
      %t = arith.trunci %a : i32 to i8
      scf.yield %t : i8
    } else {
      %t = arith.trunci %b : i32 to i8
      %twice = arith.addi %t, %t : i8
      scf.yield %twice : i8
    }
    memref.store %r, %out[%y, %low] : memref<2x4xi8, "L2">
  }
  func.return
}
func.func @main(%in: memref<2x4xi8> {graph.name = "in.1", graph.scale = 0.5 : f64, graph.zero_point = -3 : i64},
                %out: memref<2x4xi8> {accel.output, graph.name = "In/1"}) {
  %0 = memref.alloc() {accel.offset = 32 : i64} : memref<2x4xi8, "L2">
  %1 = memref.alloc() {accel.offset = 0 : i64} : memref<4xi8, "L2">
  func.call @kernel(%in, %0, %1) : (memref<2x4xi8>, memref<2x4xi8, "L2">, memref<4xi8, "L2">) -> ()
  func.call @copy(%0, %out) : (memref<2x4xi8, "L2">, memref<2x4xi8>) -> ()
  func.return
}
func.func private @copy(%in: memref<2x4xi8, "L2">, %out: memref<2x4xi8>) {
  %0 = arith.constant 0 : index
  %v = memref.load %in[%0, %0] : memref<2x4xi8, "L2">
  memref.store %v, %out[%0, %0] : memref<2x4xi8>
  func.return
}
"""


FORMS = [
    *(Interface("c", workspace, hooks) for workspace in ("static", "backend", "pools") for hooks in (False, True)),
    Interface("packed"),
    Interface("packed", "backend"),
]


@pytest.mark.parametrize("interface", FORMS)
def test_compilers_accept_the_package_without_warnings(interface: Interface, tmp_path: Path) -> None:
    on_engine = NETWORK.replace('@copy(%in: memref<2x4xi8, "L2">, %out: memref<2x4xi8>) {', COPY)
    package = render_package(parse(on_engine), "default", interface)
    assert set(package.interface["devices"]) == ({"diana_digital"} if interface.device_hooks else set())
    alike = {"src/tvmgen_default_kernels.c"} if interface != Interface() else set[str]()
    compile_all({name: text for name, text in package.files.items() if name not in alike}, tmp_path)


def test_arguments_are_not_called_like_the_entry_functions_own_variables(tmp_path: Path) -> None:
    module = parse(NETWORK.replace('"in.1"', '"args"').replace('"In/1"', '"arena_l2"'))
    compile_all(render_package(module, "default", Interface("packed", "backend")).files, tmp_path)


def test_header_names_are_sanitised_and_told_apart() -> None:
    header = render(parse(NETWORK), "net1")["include/tvmgen_net1.h"]
    assert "struct tvmgen_net1_inputs {\n  void* in_1;\n};" in header
    assert "struct tvmgen_net1_outputs {\n  void* in_1_1;\n};" in header
    assert "#define TVMGEN_NET1_WORKSPACE_SIZE 4096\n" in header
    assert "#define TVMGEN_NET1_IN_1_SIZE 8\n" in header
    assert "#define TVMGEN_NET1_IN_1_SCALE 0.5\n" in header
    assert "#define TVMGEN_NET1_IN_1_ZERO_POINT (-3)\n" in header
    assert 'extern "C" {' in header


def test_nameless_tensors_are_called_as_tvm_does() -> None:
    one = parse("func.func @main(%a: memref<4xi8>, %b: memref<4xi8> {accel.output}) { func.return }")
    header = render(one)["include/tvmgen_default.h"]
    assert "void* input;" in header
    assert "void* output;" in header
    two = parse(
        "func.func @main(%a: memref<4xi8>, %b: memref<4xi8> {accel.output}, %c: memref<4xi8> {accel.output})"
        " { func.return }"
    )
    header = render(two)["include/tvmgen_default.h"]
    assert "void* output0;" in header
    assert "void* output1;" in header


def test_only_written_buffers_are_not_const() -> None:
    files = render(parse(NETWORK))
    header = files["include/tvmgen_default_kernels.h"]
    assert "tvmgen_default_kernel(const int8_t *in, int8_t *restrict out, const int8_t *unused);" in header
    # @main writes its output only through the kernel it calls.
    main = files["src/tvmgen_default.c"]
    assert "tvmgen_default___tvm_main__(const int8_t *in_1, int8_t *restrict in_1_1) {" in main


def test_swapped_loop_values_are_read_before_they_are_overwritten() -> None:
    text = """
func.func private @swap(%out: memref<2xi32>) {
  %0 = arith.constant 0 : index
  %1 = arith.constant 1 : index
  %5 = arith.constant 5 : index
  %a = arith.constant 7 : i32
  %b = arith.constant 8 : i32
  %x, %y = scf.for %i = %0 to %5 step %1 iter_args(%p = %a, %q = %b) -> (i32, i32) {
    scf.yield %q, %p : i32, i32
  }
  memref.store %x, %out[%0] : memref<2xi32>
  memref.store %y, %out[%1] : memref<2xi32>
  func.return
}"""
    source = kernels(text)
    assert (
        "    const int32_t q_before = q;\n    const int32_t p_before = p;\n    p = q_before;\n    q = p_before;\n"
        in source
    )


def test_no_local_variable_hides_a_constant() -> None:
    text = """
"memref.global"() <{sym_name = "v", type = memref<2xi8>, sym_visibility = "private", constant,
  initial_value = dense<1> : tensor<2xi8>}> : () -> ()
func.func private @f(%out: memref<2xi8>) {
  %0 = arith.constant 0 : index
  %1 = memref.load %out[%0] : memref<2xi8>
  %table = memref.get_global @v : memref<2xi8>
  %v = memref.load %table[%0] : memref<2xi8>
  %sum = arith.addi %v, %1 : i8
  memref.store %sum, %out[%0] : memref<2xi8>
  func.return
}"""
    source = kernels(text)
    assert "int8_t v_1 = out[0];" in source
    assert "int8_t v_2 = v[0];" in source
    assert "int8_t sum = (int8_t)(v_2 + v_1);" in source


def test_truth_values_keep_their_meaning_in_c() -> None:
    text = """
func.func private @f(%out: memref<2xi32>) {
  %0 = arith.constant 0 : index
  %a = memref.load %out[%0] : memref<2xi32>
  %bit = arith.trunci %a : i32 to i1
  %minus = arith.extsi %bit : i1 to i32
  memref.store %minus, %out[%0] : memref<2xi32>
  func.return
}"""
    source = kernels(text)
    assert "_Bool bit = (_Bool)(a & 1);" in source
    assert "int32_t minus = -(int32_t)bit;" in source


def test_an_accumulator_is_one_variable_through_nested_loops() -> None:
    text = """
func.func private @sum(%out: memref<2xi32>) {
  %0 = arith.constant 0 : index
  %1 = arith.constant 1 : index
  %5 = arith.constant 5 : index
  %zero = arith.constant 0 : i32
  %sum = scf.for %i = %0 to %5 step %1 iter_args(%outer = %zero) -> (i32) {
    %inner = scf.for %j = %0 to %5 step %1 iter_args(%p = %outer) -> (i32) {
      %next = arith.addi %p, %p : i32
      scf.yield %next : i32
    }
    scf.yield %inner : i32
  }
  memref.store %sum, %out[%0] : memref<2xi32>
  func.return
}"""
    assert kernels(text).count("int32_t outer = 0;") == 1
    # A second reader of the outer value needs the value from before the inner loop.
    twice = text.replace("scf.yield %inner : i32", "%both = arith.addi %inner, %outer : i32\n scf.yield %both : i32")
    assert "int32_t p = outer;" in kernels(twice)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("func.func private @f(%a: index) { func.return }", "memref"),
        (
            "func.func private @f() { %a = arith.constant 1 : i32 %c = arith.ceildivui %a, %a : i32 func.return }",
            r"@f has 'arith\.ceildivui'",
        ),
        ('func.func private @f() { %a = memref.alloc() : memref<4xi8, "L1"> func.return }', "run plan-memory first"),
        (
            'func.func private @f() { %a = memref.alloc() {accel.offset = 0 : i64} : memref<4xi8, "L2"> func.return }',
            "@main's buffers",
        ),
        ('func.func private @f() { %a = memref.get_global @g : memref<4xi8, "L2"> func.return }', "@g names no"),
        (
            '"memref.global"() <{sym_name = "g", type = memref<4xi8, "L9">, sym_visibility = "private",'
            " initial_value = dense<0> : tensor<4xi8>}> : () -> ()"
            'func.func private @f() { %a = memref.get_global @g : memref<4xi8, "L9"> func.return }',
            "no memory 'L9'; it has L1, L2",
        ),
        (
            "func.func private @f() { %0 = arith.constant 0 : index"
            ' %a = memref.alloc() {accel.offset = 0 : i64} : memref<4xi8, "L1">'
            ' %v = memref.load %a[%0] : memref<4xi8, "L1"> func.return }',
            "cannot address",
        ),
    ],
)
def test_what_c_cannot_say_is_an_error_that_says_where(text: str, message: str) -> None:
    with pytest.raises(HtvmError, match=message):
        render(parse(text))


def test_a_module_without_target_is_an_error() -> None:
    with pytest.raises(HtvmError, match="set-target"):
        render(ModuleOp([]))


def test_a_module_name_must_fit_into_identifiers() -> None:
    with pytest.raises(HtvmError, match="a-b"):
        render(parse(""), "a-b")


def test_identifiers() -> None:
    assert identifier("onnx::Div_180") == "onnx__Div_180"
    assert identifier("1st") == "v1st"
    assert identifier("") == "v"
    assert all(identifier(word) not in KEYWORDS for word in KEYWORDS)
    names = Names(["acc"])
    assert [names.unique("acc") for _ in range(3)] == ["acc_1", "acc_2", "acc_3"]
    inner = Names(["x", "x_2"], names)
    assert [inner.unique(word) for word in ("x", "x", "acc", "x")] == ["x_1", "x_3", "acc_4", "x_4"]


def test_arrays() -> None:
    assert numbers_text(np.array([-128, -1, 0, 127], np.int8)) == "  -128, -1, 0, 127,"
    assert numbers_text(np.array([-(2**31), 5], np.int32)) == "  INT32_MIN, 5,"
    assert words_text([1, 0xDEADBEEF]) == "  0x00000001, 0xDEADBEEF,"
    assert numbers_text(np.arange(30, dtype=np.int8)).count("\n") == 1


def test_big_weights_are_printed_fast() -> None:
    array = np.random.default_rng(0).integers(-128, 128, 300_000).astype(np.int8)
    elements = DenseIntOrFPElementsAttr(TensorType(i8, array.shape), BytesAttr(array.tobytes()))
    op = memref.GlobalOp.get(StringAttr("big"), MemRefType(i8, array.shape), elements)
    started = time.perf_counter()
    text = global_text(op, "big", "", 4)
    assert time.perf_counter() - started < 0.3
    body = text[text.index("{\n") + 2 : text.index("\n};")]
    assert [int(word) for word in body.replace("\n", " ").replace(",", " ").split()] == array.tolist()
