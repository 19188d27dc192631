/* As an application with hooks for TVM's devices; it returns 2 if they are called in an order that has no meaning. */
#include <stdint.h>
#include "tvmgen_default.h"

#ifndef MEMORY
#define MEMORY
#endif

MEMORY _Alignas(16) int8_t input_data[TVMGEN_DEFAULT_INPUT_SIZE];
MEMORY _Alignas(16) int8_t output_data[TVMGEN_DEFAULT_OUTPUT_SIZE];

enum { OFF, ACTIVE, OPEN };
enum { ACTIVATE = 1, OPENING, CLOSE, DEACTIVATE, NEVER };

uint32_t failing = NEVER; /* the event that is refused */
uint32_t uses;            /* how often the device was opened */

static int state = OFF;
static int wrong;

static int32_t change(const void *context, uint32_t event, int from, int to)
{
  if (context != &state || state != from) {
    wrong = 1;
  }
  if (event == failing) {
    return -1;
  }
  state = to;
  return 0;
}

int32_t TVMDeviceDianaDigitalActivate(void *context);
int32_t TVMDeviceDianaDigitalOpen(void *context);
int32_t TVMDeviceDianaDigitalClose(void *context);
int32_t TVMDeviceDianaDigitalDeactivate(void *context);

int32_t TVMDeviceDianaDigitalActivate(void *context)
{
  return change(context, ACTIVATE, OFF, ACTIVE);
}

int32_t TVMDeviceDianaDigitalOpen(void *context)
{
  ++uses;
  return change(context, OPENING, ACTIVE, OPEN);
}

int32_t TVMDeviceDianaDigitalClose(void *context)
{
  return change(context, CLOSE, OPEN, ACTIVE);
}

int32_t TVMDeviceDianaDigitalDeactivate(void *context)
{
  if (failing == CLOSE && state == OPEN) {
    state = ACTIVE; /* what could not be closed is off all the same */
  }
  return change(context, DEACTIVATE, ACTIVE, OFF);
}

int main(void)
{
  struct tvmgen_default_inputs inputs = {.input = input_data};
  struct tvmgen_default_outputs outputs = {.output = output_data};
  struct tvmgen_default_devices devices = {.diana_digital = &state};
  int32_t status = tvmgen_default_run(&inputs, &outputs, &devices);

  if (wrong || (state != OFF && failing != DEACTIVATE)) {
    return 2;
  }
  return status == 0 ? 0 : 1;
}
