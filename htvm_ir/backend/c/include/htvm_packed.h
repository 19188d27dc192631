/* The types in the signature of TVM's packed functions: those of TVM's own headers where they are, else declarations
 * of the same layout (dlpack/dlpack.h of TVM 0.8 to 0.19, tvm/runtime/c_runtime_api.h). */
#ifndef HTVM_PACKED_H
#define HTVM_PACKED_H

#include <stdint.h>

#if !defined(TVM_RUNTIME_C_RUNTIME_API_H_) && defined(__has_include)
#if __has_include(<tvm/runtime/c_runtime_api.h>)
#include <tvm/runtime/c_runtime_api.h>
#endif
#if !defined(DLPACK_DLPACK_H_) && __has_include(<dlpack/dlpack.h>)
#include <dlpack/dlpack.h>
#endif
#endif

#if !defined(DLPACK_DLPACK_H_) && !defined(TVM_RUNTIME_C_RUNTIME_API_H_)
typedef enum { kDLCPU = 1 } DLDeviceType;

typedef struct {
  DLDeviceType device_type;
  int32_t device_id;
} DLDevice;

/* The type code is one of these. */
enum { kDLInt = 0, kDLUInt = 1, kDLFloat = 2 };

typedef struct {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
} DLDataType;

typedef struct {
  void *data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t *shape;
  int64_t *strides; /* NULL: row-major without gaps */
  uint64_t byte_offset;
} DLTensor;
#endif

#ifndef TVM_RUNTIME_C_RUNTIME_API_H_
typedef union {
  int64_t v_int64;
  double v_float64;
  void *v_handle;
  const char *v_str;
  DLDataType v_type;
  DLDevice v_device;
} TVMValue;

enum { kTVMDLTensorHandle = 7 };
#endif

#endif
