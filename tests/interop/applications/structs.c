/* As an application of TVM's C interface is written. */
#include <stdint.h>
#include "tvmgen_default.h"

#ifndef MEMORY
#define MEMORY
#endif

MEMORY _Alignas(16) int8_t input_data[TVMGEN_DEFAULT_INPUT_SIZE];
MEMORY _Alignas(16) int8_t output_data[TVMGEN_DEFAULT_OUTPUT_SIZE];

int main(void)
{
  struct tvmgen_default_inputs inputs = {.input = input_data};
  struct tvmgen_default_outputs outputs = {.output = output_data};

  return (int)tvmgen_default_run(&inputs, &outputs);
}
