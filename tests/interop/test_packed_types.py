"""The types of packed functions: TVM's layout, and TVM's own declarations where its headers are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from htvm_ir.backend.c.package import HEADERS

LAYOUT = """\
#include <stddef.h>
_Static_assert(sizeof(DLTensor) == 48 && sizeof(TVMValue) == 8, "64-bit sizes");
_Static_assert(offsetof(DLTensor, device) == 8 && offsetof(DLTensor, ndim) == 16, "device, ndim");
_Static_assert(offsetof(DLTensor, dtype) == 20 && offsetof(DLTensor, shape) == 24, "dtype, shape");
_Static_assert(offsetof(DLTensor, strides) == 32 && offsetof(DLTensor, byte_offset) == 40, "strides, byte_offset");
_Static_assert(sizeof(DLDevice) == 8 && sizeof(DLDataType) == 4 && sizeof(DLDeviceType) == 4, "small ones");
_Static_assert(kDLCPU == 1 && kTVMDLTensorHandle == 7, "numbers");
"""
LAYOUT_32 = """\
#include <stddef.h>
_Static_assert(sizeof(DLTensor) == 40 && sizeof(TVMValue) == 8, "32-bit sizes");
_Static_assert(offsetof(DLTensor, shape) == 20 && offsetof(DLTensor, byte_offset) == 32, "shape, byte_offset");
"""
"""As dlpack/dlpack.h and tvm/runtime/c_runtime_api.h of TVM 0.8 to 0.18 give on LP64 and on ILP32."""

DLPACK = """\
#ifndef DLPACK_DLPACK_H_
#define DLPACK_DLPACK_H_
#include <stdint.h>
#define DLPACK_VERSION 80
typedef enum { kDLCPU = 1, kDLCUDA = 2 } DLDeviceType;
typedef struct { DLDeviceType device_type; int32_t device_id; } DLDevice;
typedef enum { kDLInt = 0U, kDLUInt = 1U, kDLFloat = 2U } DLDataTypeCode;
typedef struct { uint8_t code; uint8_t bits; uint16_t lanes; } DLDataType;
typedef struct {
  void* data; DLDevice device; int32_t ndim; DLDataType dtype;
  int64_t* shape; int64_t* strides; uint64_t byte_offset;
} DLTensor;
#endif
"""
RUNTIME = """\
#ifndef TVM_RUNTIME_C_RUNTIME_API_H_
#define TVM_RUNTIME_C_RUNTIME_API_H_
#include <dlpack/dlpack.h>
typedef enum { kTVMDLTensorHandle = 7U } TVMArgTypeCode;
typedef union {
  int64_t v_int64; double v_float64; void* v_handle; const char* v_str; DLDataType v_type; DLDevice v_device;
} TVMValue;
#endif
"""
"""Stand-ins for TVM's headers: their guards, and names that clash with other declarations of the same types."""

ORDERS = {
    "ours": ("htvm_packed.h",),
    "ours first": ("htvm_packed.h", "tvm/runtime/c_runtime_api.h"),
    "theirs first": ("tvm/runtime/c_runtime_api.h", "htvm_packed.h"),
    "dlpack first": ("dlpack/dlpack.h", "htvm_packed.h"),
    "twice": ("htvm_packed.h", "htvm_packed.h"),
}


def compiles(folder: Path, includes: tuple[str, ...], checks: str, *flags: str) -> None:
    path = folder / "types.c"
    path.write_text("".join(f'#include "{name}"\n' for name in includes) + checks)
    command = [sys.executable, "-m", "ziglang", "cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-ffreestanding"]
    command += [*flags, f"-I{HEADERS}", "-c", str(path), "-o", str(folder / "types.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("order", ["ours", "twice"])
def test_layout_without_tvm(order: str, tmp_path: Path) -> None:
    compiles(tmp_path, ORDERS[order], LAYOUT, "-target", "x86_64-freestanding")
    compiles(tmp_path, ORDERS[order], LAYOUT_32, "-target", "riscv32-freestanding")


@pytest.mark.parametrize("order", ORDERS)
def test_beside_tvm(order: str, tmp_path: Path) -> None:
    for name, text in (("dlpack/dlpack.h", DLPACK), ("tvm/runtime/c_runtime_api.h", RUNTIME)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    theirs = '_Static_assert(DLPACK_VERSION == 80 && kDLCUDA == 2, "theirs");\n'
    compiles(tmp_path, ORDERS[order], LAYOUT + theirs, "-target", "x86_64-freestanding", f"-I{tmp_path}")


def test_beside_dlpack_alone(tmp_path: Path) -> None:
    (tmp_path / "dlpack").mkdir()
    (tmp_path / "dlpack" / "dlpack.h").write_text(DLPACK)
    theirs = '_Static_assert(DLPACK_VERSION == 80, "theirs");\n'
    flags = ("-target", "x86_64-freestanding", f"-I{tmp_path}")
    compiles(tmp_path, ORDERS["ours"], LAYOUT + theirs, *flags)
