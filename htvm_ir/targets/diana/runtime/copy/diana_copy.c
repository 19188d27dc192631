#include "diana_copy.h"

/* Registers of the analog core, as byte offsets (hwme_v1.h of DIANA's SDK). *_WORDS count 32-bit words. */
#define BASE 0x1A10D000u
enum {
    TRIGGER = 0x00,
    STATUS = 0x0C,
    MEMCPY_OP = 0x6C,
    MEMCPY_ADDR = 0x70,
    MEMCPY_WORDS = 0x74,
    L1_ROW = 0x78
};

enum { OP_L1_TO_L2 = 1, OP_L2_TO_L1 = 2, ROW_BYTES = 16, GRANULE = 32 };

static inline void set(uint32_t offset, uint32_t value)
{
    *(volatile uint32_t *)(uintptr_t)(BASE + offset) = value;
}

static inline uint32_t address_of(const volatile void *object)
{
    return (uint32_t)(uintptr_t)object;
}

/* Memory is complete before the core starts, and is read again after it is done. */
static inline void barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

static inline void start(void)
{
    barrier();
    set(TRIGGER, 0);
}

void diana_copy_wait(void)
{
    while (*(volatile uint32_t *)(uintptr_t)(BASE + STATUS) != 0) {
    }
    barrier();
}

static inline void copy(uint32_t operation, uint32_t l2, uint32_t l1, uint32_t length,
                        uint32_t count, uint32_t stride, uint32_t count2, uint32_t stride2)
{
    if (count == 1 || stride == length) {
        length *= count;
        count = 1;
        if (count2 == 1 || stride2 == length) {
            length *= count2;
            count2 = 1;
        }
    }
    set(MEMCPY_OP, operation);
    set(MEMCPY_WORDS, (length + GRANULE - 1) / GRANULE * (GRANULE / 4));
    for (;;) {
        uint32_t piece = l2;

        for (uint32_t left = count;;) {
            set(MEMCPY_ADDR, piece);
            set(L1_ROW, l1 / ROW_BYTES);
            start();
            if (--left == 0) {
                break;
            }
            diana_copy_wait();
            piece += stride;
            l1 += length;
        }
        if (--count2 == 0) {
            return;
        }
        diana_copy_wait();
        l2 += stride2;
        l1 += length;
    }
}

void diana_copy_in(uint32_t l1, const void *l2, uint32_t length, uint32_t count,
                   uint32_t stride, uint32_t count2, uint32_t stride2)
{
    copy(OP_L2_TO_L1, address_of(l2), l1, length, count, stride, count2, stride2);
}

void diana_copy_out(void *l2, uint32_t l1, uint32_t length, uint32_t count,
                    uint32_t stride, uint32_t count2, uint32_t stride2)
{
    copy(OP_L1_TO_L2, address_of(l2), l1, length, count, stride, count2, stride2);
}
