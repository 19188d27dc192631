/* Driver of DIANA's digital core for bare-metal programs.
 *
 * The core does one thing at a time: every function that starts something requires that the core is idle, and
 * returns while it works. Call diana_digital_wait() before the next start and before using the results.
 *
 * Programs are lists of two instructions (one work entry and the stop entry, 64 words) built at compile time. They,
 * weights and activations must lie in shared L2, the only memory the core reaches. L1 addresses are byte
 * offsets and multiples of 16.
 */
#ifndef DIANA_DIGITAL_H
#define DIANA_DIGITAL_H

#include <stdint.h>

/* Place an object in shared L2. Constants have a section of their own, since a C compiler does not mix them with
 * variables in one; an object in the last one has no initial value and is not cleared either. */
#define DIANA_L2_SHARED __attribute__((section(".l2_shared"), aligned(32)))
#define DIANA_L2_SHARED_CONST __attribute__((section(".l2_shared_const"), aligned(32)))
#define DIANA_L2_SHARED_BSS __attribute__((section(".l2_shared_bss"), aligned(32)))

/* Copy count2 x count pieces of `length` bytes from L2 to L1. Pieces lie `stride` bytes apart in L2, groups of
 * `count` pieces `stride2` bytes apart; in L1 all follow each other. Pieces that touch are moved as one; between
 * the others the CPU waits. The core moves multiples of 32 bytes, so up to 31 bytes behind the last piece in L1 are
 * overwritten. Counts are at least 1; `length` is a multiple of 16 unless there is one piece. */
void diana_digital_dma_in(uint32_t l1, const void *l2, uint32_t length, uint32_t count,
                          uint32_t stride, uint32_t count2, uint32_t stride2);

/* The same from L1 to L2. Up to 31 bytes behind every piece in L2 are overwritten: give `length` in multiples of
 * 32 unless the pieces touch. */
void diana_digital_dma_out(void *l2, uint32_t l1, uint32_t length, uint32_t count,
                           uint32_t stride, uint32_t count2, uint32_t stride2);

/* Start a convolution. `weight_bytes` is a multiple of 4 and at most 65536. */
void diana_digital_conv(const uint32_t *program, const void *weights, uint32_t weight_bytes);

/* Start a fully connected layer. */
void diana_digital_dense(const uint32_t *program, const void *weights, uint32_t weight_bytes);

/* Run a depthwise convolution as one job for each channel and leave the last in flight. `program` is the job of
 * channel 0; channel i reads `in_plane * i` and writes `out_plane * i` bytes further on. Each job also overwrites
 * the 15 planes behind its own. There is at least one channel. */
void diana_digital_depthwise(const uint32_t *program, const void *weights, uint32_t channels,
                             uint32_t kernel_elements, uint32_t in_plane, uint32_t out_plane);

/* Some jobs need a list that the CPU makes before. That is what the functions called prepare do; they may be called
 * while the core works. Each list is for the next call of the function of its kind; there is room for one at a time.
 *
 * A convolution with one job for each output row: `entry` is the instruction (32 words) of all rows, which are written
 * `pitch` bytes apart, the last one last. `weight_bytes` as above. */
void diana_digital_prepare_rows(const uint32_t *entry, uint32_t pitch);
void diana_digital_rows(const void *weights, uint32_t weight_bytes);

/* A depthwise convolution in diagonal blocks, one trigger for each 16 channels, the last of which is left in flight.
 * `entry` is the one instruction (32 words) of the job of the first channels, as many as its input channels: 4, 8 or
 * 16. Each trigger streams the weights of 16 channels. There is at least one channel. The last job also overwrites the
 * planes behind the last channel: it writes 16. With a `pitch` other than 0, rows are jobs as above. `both`: the core
 * works meanwhile, on a job without a list; then those of two triggers are made. All arguments that the two functions
 * share are the same. */
void diana_digital_prepare_blocks(const uint32_t *entry, uint32_t channels, uint32_t pitch, uint32_t both);
void diana_digital_blocks(const uint32_t *entry, const void *weights, uint32_t channels, uint32_t pitch);

/* Start an element-wise sum. */
void diana_digital_add(const uint32_t *program);

/* Return when the core is idle. */
void diana_digital_wait(void);

#endif
