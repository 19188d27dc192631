/* Driver of the npu for bare-metal programs.
 *
 * Everything is asynchronous: a function that starts something returns at once, and its result may be used after the
 * wait. Each channel of the DMA does its transfers in order; the array does one job at a time. Addresses in L1 and in
 * the weight memory are byte offsets.
 *
 * Functions are inline so that what is known at compile time is.
 */
#ifndef NPU_H
#define NPU_H

#include <stdint.h>

/* Place an object in L2. Constants have a section of their own, since a C compiler does not mix them with variables in
 * one; an object in the last one has no initial value and is not cleared either. */
#define NPU_L2 __attribute__((section(".npu_l2"), aligned(4)))
#define NPU_L2_CONST __attribute__((section(".npu_l2_const"), aligned(4)))
#define NPU_L2_BSS __attribute__((section(".npu_l2_bss"), aligned(4)))

/* Place a constant in the external memory, which only its channel of the DMA reads. */
#define NPU_EXT_CONST __attribute__((section(".npu_ext_const"), aligned(4)))

enum {
    NPU_INPUTS = 0x1A200000,
    NPU_WEIGHTS = 0x1A200100,
    NPU_OUTPUTS = 0x1A200200,
    NPU_EXTERNAL = 0x1A200300,
    NPU_ARRAY = 0x1A210000
};
enum {
    NPU_LOCAL = 0x00,
    NPU_SHARED = 0x04,
    NPU_LENGTH = 0x08,
    NPU_COUNT = 0x0C,
    NPU_STRIDE = 0x10,
    NPU_COUNT2 = 0x14,
    NPU_STRIDE2 = 0x18,
    NPU_START = 0x1C,
    NPU_WAIT = 0x40,
    NPU_ARRAY_START = 0x00,
    NPU_ARRAY_WAIT = 0x04
};

static inline void npu_set(uint32_t address, uint32_t value)
{
    *(volatile uint32_t *)(uintptr_t)address = value;
}

/* Memory is complete before a device starts, and is read again after it is done. */
static inline void npu_barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

/* START takes how many loops the channel is to read from its registers; the others need not be set. */
static inline void npu_transfer(uint32_t channel, uint32_t local, uint32_t shared, uint32_t length, uint32_t count,
                                uint32_t stride, uint32_t count2, uint32_t stride2)
{
    npu_barrier();
    npu_set(channel + NPU_LOCAL, local);
    npu_set(channel + NPU_SHARED, shared);
    npu_set(channel + NPU_LENGTH, length);
    if (count == 1 && count2 == 1) {
        npu_set(channel + NPU_START, 0);
        return;
    }
    npu_set(channel + NPU_COUNT, count);
    npu_set(channel + NPU_STRIDE, stride);
    if (count2 == 1) {
        npu_set(channel + NPU_START, 1);
        return;
    }
    npu_set(channel + NPU_COUNT2, count2);
    npu_set(channel + NPU_STRIDE2, stride2);
    npu_set(channel + NPU_START, 2);
}

/* Copy count2 x count runs of `length` bytes from L2 to L1. Runs lie `stride` bytes apart in L2, groups of `count` of
 * them `stride2` bytes apart; in L1 all follow each other. Nothing is rounded up. */
static inline void npu_inputs(uint32_t l1, const void *l2, uint32_t length, uint32_t count, uint32_t stride,
                              uint32_t count2, uint32_t stride2)
{
    npu_transfer(NPU_INPUTS, l1, (uint32_t)(uintptr_t)l2, length, count, stride, count2, stride2);
}

/* The same from L2 to the weight memory. */
static inline void npu_weights(uint32_t place, const void *l2, uint32_t length, uint32_t count, uint32_t stride,
                               uint32_t count2, uint32_t stride2)
{
    npu_transfer(NPU_WEIGHTS, place, (uint32_t)(uintptr_t)l2, length, count, stride, count2, stride2);
}

/* The same from the external memory to the weight memory, beside the transfers of the other channels. */
static inline void npu_external(uint32_t place, const void *external, uint32_t length, uint32_t count, uint32_t stride,
                                uint32_t count2, uint32_t stride2)
{
    npu_transfer(NPU_EXTERNAL, place, (uint32_t)(uintptr_t)external, length, count, stride, count2, stride2);
}

/* The same from L1 to L2. */
static inline void npu_outputs(void *l2, uint32_t l1, uint32_t length, uint32_t count, uint32_t stride,
                               uint32_t count2, uint32_t stride2)
{
    npu_transfer(NPU_OUTPUTS, l1, (uint32_t)(uintptr_t)l2, length, count, stride, count2, stride2);
}

/* Return when a load from a device is done, which is when the condition of the register holds. */
static inline void npu_await(uint32_t address)
{
    (void)*(volatile uint32_t *)(uintptr_t)address;
    npu_barrier();
}

/* Return when at most the last `left` transfers of a channel are not done. */
static inline void npu_inputs_wait(uint32_t left)
{
    npu_await(NPU_INPUTS + NPU_WAIT + 4 * left);
}

static inline void npu_weights_wait(uint32_t left)
{
    npu_await(NPU_WEIGHTS + NPU_WAIT + 4 * left);
}

static inline void npu_external_wait(uint32_t left)
{
    npu_await(NPU_EXTERNAL + NPU_WAIT + 4 * left);
}

static inline void npu_outputs_wait(uint32_t left)
{
    npu_await(NPU_OUTPUTS + NPU_WAIT + 4 * left);
}

/* Start the job that a descriptor in L2 describes. */
static inline void npu_start(const uint32_t *descriptor)
{
    npu_barrier();
    npu_set(NPU_ARRAY + NPU_ARRAY_START, (uint32_t)(uintptr_t)descriptor);
}

/* Return when the job is done. */
static inline void npu_wait(void)
{
    npu_await(NPU_ARRAY + NPU_ARRAY_WAIT);
}

#endif
