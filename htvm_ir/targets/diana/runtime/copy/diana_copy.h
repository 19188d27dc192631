/* DIANA's analog core as a copy engine: its DMA moves maps between L2 and L1 while the digital core computes.
 *
 * A transfer is an operation of the analog core like any other: every function that starts one requires that this core
 * is idle, and returns while it works. Call diana_copy_wait() before the next start, of a convolution too, and before
 * the digital core or the CPU uses what was moved. The digital core may work meanwhile, on other bytes of L1. The
 * core's array needs no power for that (the published power-up is for the array's supply).
 *
 * L2 addresses lie in shared L2. L1 addresses are byte offsets and multiples of 16.
 */
#ifndef DIANA_COPY_H
#define DIANA_COPY_H

#include <stdint.h>

/* Copy count2 x count pieces of `length` bytes from L2 to L1. Pieces lie `stride` bytes apart in L2, groups of
 * `count` pieces `stride2` bytes apart; in L1 all follow each other. Pieces that touch are moved as one; between
 * the others the CPU waits. The core moves multiples of 32 bytes, so up to 31 bytes behind the last piece in L1 are
 * overwritten. Counts are at least 1; `length` is a multiple of 16 unless there is one piece. */
void diana_copy_in(uint32_t l1, const void *l2, uint32_t length, uint32_t count,
                   uint32_t stride, uint32_t count2, uint32_t stride2);

/* The same from L1 to L2. Up to 31 bytes behind every piece in L2 are overwritten: give `length` in multiples of
 * 32 unless the pieces touch. */
void diana_copy_out(void *l2, uint32_t l1, uint32_t length, uint32_t count,
                    uint32_t stride, uint32_t count2, uint32_t stride2);

/* Return when the analog core is idle. */
void diana_copy_wait(void);

#endif
