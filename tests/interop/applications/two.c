/* Two networks in one image, one after the other and again the first. */
#include <stdint.h>
#include "tvmgen_first.h"
#include "tvmgen_second.h"

#ifndef MEMORY
#define MEMORY
#endif

MEMORY _Alignas(16) int8_t input_data[TVMGEN_FIRST_INPUT_SIZE];
MEMORY _Alignas(16) int8_t input2_data[TVMGEN_SECOND_INPUT_SIZE];
MEMORY _Alignas(16) int8_t output_data[TVMGEN_FIRST_OUTPUT_SIZE];
MEMORY _Alignas(16) int8_t output2_data[TVMGEN_SECOND_OUTPUT_SIZE];
MEMORY _Alignas(16) int8_t again_data[TVMGEN_FIRST_OUTPUT_SIZE];

int main(void)
{
  struct tvmgen_first_inputs inputs = {.input = input_data};
  struct tvmgen_first_outputs outputs = {.output = output_data};
  struct tvmgen_second_inputs inputs2 = {.input = input2_data};
  struct tvmgen_second_outputs outputs2 = {.output = output2_data};
  struct tvmgen_first_outputs again = {.output = again_data};

  if (tvmgen_first_run(&inputs, &outputs) != 0 || tvmgen_second_run(&inputs2, &outputs2) != 0) {
    return 1;
  }
  return (int)tvmgen_first_run(&inputs, &again);
}
