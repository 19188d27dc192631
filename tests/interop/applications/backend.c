/* As an application that gives TVM's code its workspace from a stack of exactly the size that the header states. */
#include <stddef.h>
#include <stdint.h>
#include "tvmgen_default.h"

#ifndef MEMORY
#define MEMORY
#endif

MEMORY _Alignas(16) int8_t input_data[TVMGEN_DEFAULT_INPUT_SIZE];
MEMORY _Alignas(16) int8_t output_data[TVMGEN_DEFAULT_OUTPUT_SIZE];
MEMORY _Alignas(16) uint8_t stack[TVMGEN_DEFAULT_WORKSPACE_SIZE];

uint64_t stack_limit = sizeof stack;
uint64_t stack_used;
int allocations;

void *TVMBackendAllocWorkspace(int device_type, int device_id, uint64_t nbytes, int code_hint, int bits_hint);
int TVMBackendFreeWorkspace(int device_type, int device_id, void *ptr);

void *TVMBackendAllocWorkspace(int device_type, int device_id, uint64_t nbytes, int code_hint, int bits_hint)
{
  uint8_t *const place = stack + stack_used;

  (void)code_hint, (void)bits_hint;
  if (device_type != 1 || device_id != 0 || nbytes > stack_limit - stack_used) {
    return NULL;
  }
  stack_used += nbytes;
  ++allocations;
  return place;
}

int TVMBackendFreeWorkspace(int device_type, int device_id, void *ptr)
{
  if (device_type != 1 || device_id != 0 || (uint8_t *)ptr < stack || (uint8_t *)ptr > stack + stack_used) {
    return -1;
  }
  stack_used = (uint64_t)((uint8_t *)ptr - stack);
  --allocations;
  return 0;
}

int main(void)
{
  struct tvmgen_default_inputs inputs = {.input = input_data};
  struct tvmgen_default_outputs outputs = {.output = output_data};
  int32_t status = tvmgen_default_run(&inputs, &outputs);

  return allocations == 0 && stack_used == 0 ? (int)status : 2;
}
