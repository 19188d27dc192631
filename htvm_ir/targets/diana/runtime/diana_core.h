/* What the drivers of DIANA's cores share: registers that both cores have, and transfers in pieces.
 *
 * For these drivers only. Functions are inline so that the core's addresses are constants in each of them.
 */
#ifndef DIANA_CORE_H
#define DIANA_CORE_H

#include <stdint.h>

/* Addresses of the cores' registers, and byte offsets of those that have the same place in both (hwme_v1.h of
 * DIANA's SDK). Those of a DMA follow each other. *_WORDS count 32-bit words. */
enum { DIANA_DIGITAL = 0x1A10C000, DIANA_ANALOG = 0x1A10D000 };
enum { TRIGGER = 0x00, STATUS = 0x0C };
enum { DIGITAL_DMA = DIANA_DIGITAL + 0xA0, ANALOG_DMA = DIANA_ANALOG + 0x6C };
enum { MEMCPY_OP = 0x0, MEMCPY_ADDR = 0x4, MEMCPY_WORDS = 0x8, L1_ROW = 0xC };

enum { OP_COMPUTE = 0, OP_L1_TO_L2 = 1, OP_L2_TO_L1 = 2 };
enum { ROW_BYTES = 16, GRANULE = 32 };

static inline void store(uint32_t address, uint32_t value)
{
    *(volatile uint32_t *)(uintptr_t)address = value;
}

static inline uint32_t load(uint32_t address)
{
    return *(volatile uint32_t *)(uintptr_t)address;
}

static inline uint32_t address_of(const volatile void *object)
{
    return (uint32_t)(uintptr_t)object;
}

/* Memory is complete before a core starts, and is read again after it is done. */
static inline void barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

static inline void start_core(uint32_t core)
{
    barrier();
    store(core + TRIGGER, 0);
}

static inline void wait_core(uint32_t core)
{
    while (load(core + STATUS) != 0) {
    }
    barrier();
}

/* A loop over pieces is as good as one written out for each core only where all of it is known when it is compiled. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* A core and its DMA, by the addresses of their registers, and what is moved: count2 x count pieces of `length` bytes,
 * `stride` bytes apart in L2, groups of `count` of them `stride2` bytes apart. In L1 all follow each other, each in equal
 * parts in `banks` banks. */
struct transfer {
    uint32_t core, dma, operation, length, count, stride, count2, stride2, banks;
};

/* Starts to move one piece. */
typedef void start_piece(const struct transfer *transfer, uint32_t l2, uint32_t l1);

/* The same with pieces that touch as one. */
ALWAYS_INLINE struct transfer joined(struct transfer t)
{
    if (t.count == 1 || t.stride == t.length) {
        t.length *= t.count;
        t.count = 1;
        if (t.count2 == 1 || t.stride2 == t.length) {
            t.length *= t.count2;
            t.count2 = 1;
        }
    }
    return t;
}

/* Move all pieces but the last, and start that. */
ALWAYS_INLINE void move_pieces(struct transfer t, start_piece *start, uint32_t l2, uint32_t l1)
{
    const uint32_t step = t.length / t.banks;

    for (;;) {
        uint32_t piece = l2;

        for (uint32_t left = t.count;;) {
            start(&t, piece, l1);
            if (--left == 0) {
                break;
            }
            wait_core(t.core);
            piece += t.stride;
            l1 += step;
        }
        if (--t.count2 == 0) {
            return;
        }
        wait_core(t.core);
        l2 += t.stride2;
        l1 += step;
    }
}

/* Words that a DMA moves for so many bytes. */
static inline uint32_t dma_words(uint32_t length)
{
    return (length + GRANULE - 1) / GRANULE * (GRANULE / 4);
}

static inline void start_plain_piece(const struct transfer *t, uint32_t l2, uint32_t l1)
{
    store(t->dma + MEMCPY_ADDR, l2);
    store(t->dma + L1_ROW, l1 / ROW_BYTES);
    start_core(t->core);
}

/* Start a transfer that has one bank. */
static inline void copy_plain(struct transfer t, uint32_t l2, uint32_t l1)
{
    t = joined(t);
    store(t.dma + MEMCPY_OP, t.operation);
    store(t.dma + MEMCPY_WORDS, dma_words(t.length));
    move_pieces(t, start_plain_piece, l2, l1);
}

#endif
