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
    NPU_IMC_INPUTS = 0x1A200400,
    NPU_IMC_WEIGHTS = 0x1A200500,
    NPU_IMC_OUTPUTS = 0x1A200600,
    NPU_IMC_EXTERNAL = 0x1A200700,
    NPU_ARRAY = 0x1A210000,
    NPU_IMC = 0x1A220000
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

/* Return when a load from a device is done, which is when the condition of the register holds. */
static inline void npu_await(uint32_t address)
{
    (void)*(volatile uint32_t *)(uintptr_t)address;
    npu_barrier();
}

/* Functions of a channel that loads:
 *
 * npu_NAME: copy count2 x count runs of `length` bytes to a local memory. Runs lie `stride` bytes apart in L2 or in the
 * external memory, groups of `count` of them `stride2` bytes apart; in the local memory all follow each other. Nothing
 * is rounded up. npu_NAME_wait: return when at most the last `left` transfers of the channel are not done. */
#define NPU_LOADS(name, channel)                                                                                       \
    static inline void npu_##name(uint32_t local, const void *shared, uint32_t length, uint32_t count,                 \
                                  uint32_t stride, uint32_t count2, uint32_t stride2)                                  \
    {                                                                                                                  \
        npu_transfer(channel, local, (uint32_t)(uintptr_t)shared, length, count, stride, count2, stride2);             \
    }                                                                                                                  \
    NPU_WAITS(name, channel)

/* The same of a channel that stores from a local memory to L2. */
#define NPU_STORES(name, channel)                                                                                      \
    static inline void npu_##name(void *shared, uint32_t local, uint32_t length, uint32_t count, uint32_t stride,      \
                                  uint32_t count2, uint32_t stride2)                                                   \
    {                                                                                                                  \
        npu_transfer(channel, local, (uint32_t)(uintptr_t)shared, length, count, stride, count2, stride2);             \
    }                                                                                                                  \
    NPU_WAITS(name, channel)

#define NPU_WAITS(name, channel)                                                                                       \
    static inline void npu_##name##_wait(uint32_t left)                                                                \
    {                                                                                                                  \
        npu_await((channel) + NPU_WAIT + 4 * left);                                                                    \
    }

/* Those of the array, and those of the in-memory-compute array, if there is one: from L2 to L1, from L2 or the external
 * memory to the weight memory, from L1 to L2. */
NPU_LOADS(inputs, NPU_INPUTS)
NPU_LOADS(weights, NPU_WEIGHTS)
NPU_STORES(outputs, NPU_OUTPUTS)
NPU_LOADS(external, NPU_EXTERNAL)
NPU_LOADS(imc_inputs, NPU_IMC_INPUTS)
NPU_LOADS(imc_weights, NPU_IMC_WEIGHTS)
NPU_STORES(imc_outputs, NPU_IMC_OUTPUTS)
NPU_LOADS(imc_external, NPU_IMC_EXTERNAL)

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

/* The same for the in-memory-compute array. */
static inline void npu_imc_start(const uint32_t *descriptor)
{
    npu_barrier();
    npu_set(NPU_IMC + NPU_ARRAY_START, (uint32_t)(uintptr_t)descriptor);
}

static inline void npu_imc_wait(void)
{
    npu_await(NPU_IMC + NPU_ARRAY_WAIT);
}

#endif
