/* As TVM's Arduino example calls a network: past the header, by the entry, with a workspace of the stated size. */
#include <stddef.h>
#include <stdint.h>

#ifndef MEMORY
#define MEMORY
#endif

MEMORY _Alignas(16) int8_t input_data[INPUT_SIZE];
MEMORY _Alignas(16) int8_t output_data[OUTPUT_SIZE];
MEMORY _Alignas(16) uint8_t workspace[WORKSPACE_SIZE];

int32_t tvmgen_default___tvm_main__(void *input, void *output);
void *TVMBackendAllocWorkspace(int device_type, int device_id, uint64_t nbytes, int code_hint, int bits_hint);
int TVMBackendFreeWorkspace(int device_type, int device_id, void *ptr);

void *TVMBackendAllocWorkspace(int device_type, int device_id, uint64_t nbytes, int code_hint, int bits_hint)
{
  (void)device_type, (void)device_id, (void)code_hint, (void)bits_hint;
  return nbytes <= sizeof workspace ? workspace : NULL;
}

int TVMBackendFreeWorkspace(int device_type, int device_id, void *ptr)
{
  (void)device_type, (void)device_id, (void)ptr;
  return 0;
}

int main(void)
{
  return (int)tvmgen_default___tvm_main__(input_data, output_data);
}
