/* As applications of TVM's packed interface are written: of the tensors only the data are filled in, of the other
 * arguments nothing. */
#include <stddef.h>
#include <stdint.h>
#include "tvmgen_default.h"

#ifndef MEMORY
#define MEMORY
#endif

MEMORY _Alignas(16) int8_t input_data[TVMGEN_DEFAULT_INPUT_SIZE];
MEMORY _Alignas(16) int8_t output_data[TVMGEN_DEFAULT_OUTPUT_SIZE];

int main(void)
{
  static DLDevice device = {kDLCPU, 0};
  static int64_t shape = 0;
  void *const data[] = {input_data, output_data};
  DLTensor tensors[2];
  TVMValue values[2];
  int32_t typeids[2] = {0};

  for (int i = 0; i < 2; i++) {
    tensors[i].device = device;
    tensors[i].data = data[i];
    tensors[i].shape = &shape;
    tensors[i].ndim = 0;
    tensors[i].byte_offset = 0;
    tensors[i].strides = NULL;
    values[i].v_handle = &tensors[i];
  }
  return (int)tvmgen_default_run(values, typeids, 0, NULL, 0, NULL);
}
