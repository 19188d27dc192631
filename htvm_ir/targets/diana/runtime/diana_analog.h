/* Driver of DIANA's analog core for bare-metal programs.
 *
 * The core does one thing at a time: every function that starts something requires that the core is idle, and
 * returns while it works. Call diana_analog_wait() before the next start and before using the results.
 *
 * Programs are lists of two instructions (one convolution and the stop entry, 32 words) built at compile time. They,
 * configurations, weights and activations must lie in shared L2, the only memory the core reaches. L1 addresses are
 * byte offsets and multiples of 16.
 */
#ifndef DIANA_ANALOG_H
#define DIANA_ANALOG_H

#include <stdint.h>

/* Copy count2 x count pieces of `length` bytes from L2 to L1. Pieces lie `stride` bytes apart in L2, groups of
 * `count` pieces `stride2` bytes apart. In L2 a pixel is `banks` rows of 16 bytes; in L1 the n-th row of a pixel
 * goes to the n-th bank, 512 rows behind the one before it, and pixels follow each other in every bank. `length` is a
 * multiple of 16 * banks. With one bank up to 31 bytes behind the last piece in L1 are overwritten. Pixels of an
 * odd number of banks come in even numbers, and of more than four banks not at all. */
void diana_analog_dma_in(uint32_t l1, const void *l2, uint32_t length, uint32_t count,
                         uint32_t stride, uint32_t count2, uint32_t stride2, uint32_t banks);

/* The same from L1 to L2. With one bank up to 31 bytes behind every piece in L2 are overwritten: give `length` in
 * multiples of 32 unless the pieces touch. */
void diana_analog_dma_out(void *l2, uint32_t l1, uint32_t length, uint32_t count,
                          uint32_t stride, uint32_t count2, uint32_t stride2, uint32_t banks);

/* Start a convolution. `config` has 16 words. The first call powers the core up. */
void diana_analog_conv(const uint32_t *program, const uint32_t *config, const void *weights);

/* Power the core up and return when the board has switched its supply on. */
void diana_analog_boot(void);

/* Return when the core is idle. */
void diana_analog_wait(void);

#endif
