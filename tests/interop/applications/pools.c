/* As an application that gives TVM's code its pools; this one has no alignment. */
#include <stdint.h>
#include "tvmgen_default.h"

#ifndef MEMORY
#define MEMORY
#endif

MEMORY _Alignas(16) int8_t input_data[TVMGEN_DEFAULT_INPUT_SIZE];
MEMORY _Alignas(16) int8_t output_data[TVMGEN_DEFAULT_OUTPUT_SIZE];
MEMORY _Alignas(16) uint8_t memory[1 + TVMGEN_DEFAULT_L2_WORKSPACE_POOL_SIZE + 1];

int main(void)
{
  struct tvmgen_default_inputs inputs = {.input = input_data};
  struct tvmgen_default_outputs outputs = {.output = output_data};
  struct tvmgen_default_workspace_pools workspace_pools = {.l2 = memory + 1};
  int32_t status;

  memory[0] = memory[sizeof memory - 1] = 0xA5;
  status = tvmgen_default_run(&inputs, &outputs, &workspace_pools);
  return memory[0] == 0xA5 && memory[sizeof memory - 1] == 0xA5 ? (int)status : 2;
}
