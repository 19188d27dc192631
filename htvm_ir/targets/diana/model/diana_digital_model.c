/* The digital core's driver (diana_digital.h) for any machine: the arithmetic of its jobs, without its time.
 *
 * Jobs and transfers end in the call that starts them, and a transfer moves only what was asked for. Definitions are
 * weak and hidden, so that each of several generated files can bring its own copy.
 */
#include <string.h>

#include "diana_digital.h"

/* At least so much, whatever this file was given: the files may be for targets with other sizes. */
#define LEAST_BYTES 1048576
#if !defined(HTVM_L1_BYTES) || HTVM_L1_BYTES < LEAST_BYTES
#undef HTVM_L1_BYTES
#define HTVM_L1_BYTES LEAST_BYTES
#endif
#define MODEL __attribute__((weak, visibility("hidden")))

enum { LANES = 16, BIAS_ROWS = 4, WORDS = 32 };

/* The words of an instruction that matter here. */
enum { WEIGHTS = 1, INPUT = 2, OUTPUT = 3, CHANNELS = 4, BLOCKS = 5, COLUMNS = 6, ROWS = 7, IN_PLANE = 9 };
enum { KERNEL_X = 10, KERNEL_Y = 11, OUT_COLUMNS = 12, OUT_ROWS = 13, RELU = 14, OUT_PLANE = 16, SHIFT = 19 };
enum { PADDING = 20, STRIDED = 24 };

static uint8_t l1[HTVM_L1_BYTES];

/* The rows for which a list of jobs is made. */
static const uint32_t *prepared_entry;
static uint32_t prepared_pitch;

/* Words have their first element in the most significant byte. */
static inline uint32_t reversed(uint32_t position)
{
    return position ^ 3u;
}

static inline int32_t element(uint32_t start, uint32_t position)
{
    return (int8_t)l1[start + reversed(position)];
}

static inline void store(uint32_t start, uint32_t position, uint32_t sum, const uint32_t *job)
{
    int32_t value = (int32_t)sum >> job[SHIFT];
    const int32_t low = job[RELU] != 0 ? 0 : -128;

    value = value < low ? low : value > 127 ? 127 : value;
    l1[start + reversed(position)] = (uint8_t)value;
}

/* Accumulators start at the bias and wrap. */
static inline uint32_t accumulate(uint32_t sum, int32_t value, uint8_t weight)
{
    return sum + (uint32_t)(value * (int8_t)weight);
}

/* One pixel of one output channel; the weights of its lane lie 16 bytes apart. */
static uint32_t window(const uint32_t *job, const uint8_t *weights, uint32_t sum, uint32_t y, uint32_t x)
{
    const int32_t top = (int32_t)(job[PADDING] >> 8 & 0xF), left = (int32_t)(job[PADDING] & 0xF);
    const int32_t visible = (int32_t)(job[COLUMNS] - (job[PADDING] >> 4 & 0xF)), rows = (int32_t)job[ROWS];
    const int32_t row = (int32_t)(y * (job[STRIDED] + 1)) - top, column = (int32_t)(x * (job[STRIDED] + 1)) - left;

    for (uint32_t c = 0; c < job[CHANNELS]; c++) {
        const uint32_t plane = job[INPUT] + c * job[IN_PLANE];

        for (int32_t i = row; i < row + (int32_t)job[KERNEL_Y]; i++) {
            for (int32_t j = column; j < column + (int32_t)job[KERNEL_X]; j++, weights += LANES) {
                if (i >= 0 && i < rows && j >= 0 && j < visible) {
                    sum = accumulate(sum, element(plane, (uint32_t)(i * (int32_t)job[COLUMNS] + j)), *weights);
                }
            }
        }
    }
    return sum;
}

static void convolve(const uint32_t *job, const uint8_t *weights)
{
    const uint32_t taps = job[CHANNELS] * job[KERNEL_Y] * job[KERNEL_X];
    const uint32_t columns = LANES * job[OUT_COLUMNS];

    for (uint32_t k = 0; k < LANES * job[BLOCKS]; k++) {
        const uint8_t *lane = weights + k / LANES * LANES * (taps + BIAS_ROWS) + reversed(k % LANES);
        const uint32_t output = job[OUTPUT] + k * job[OUT_PLANE];
        uint32_t bias = 0;

        for (uint32_t i = 0; i < BIAS_ROWS; i++) {
            bias |= (uint32_t)lane[(taps + i) * LANES] << 8 * i;
        }
        for (uint32_t y = 0; y < job[OUT_ROWS]; y++) {
            for (uint32_t x = 0; x < columns; x++) {
                store(output, y * columns + x, window(job, lane, bias, y, x), job);
            }
        }
    }
}

/* A convolution, or with a `pitch` one job for each of its output rows. */
static void convolve_rows(const uint32_t *entry, const uint8_t *weights, uint32_t pitch)
{
    const uint32_t top = entry[PADDING] >> 8 & 0xF;
    uint32_t job[WORDS];

    if (pitch == 0) {
        convolve(entry, weights);
        return;
    }
    memcpy(job, entry, sizeof job);
    job[OUT_ROWS] = 1;
    for (uint32_t y = 0; y < entry[OUT_ROWS]; y++) {
        const uint32_t before = y * (entry[STRIDED] + 1);
        const uint32_t skipped = before > top ? before - top : 0;

        job[INPUT] = entry[INPUT] + skipped * entry[COLUMNS];
        job[ROWS] = entry[ROWS] - skipped;
        job[OUTPUT] = entry[OUTPUT] + y * pitch;
        job[PADDING] = (entry[PADDING] & ~0xF00u) | (top + skipped - before) << 8;
        convolve(job, weights);
    }
}

MODEL void diana_digital_dma_in(uint32_t to, const void *from, uint32_t length, uint32_t count,
                                uint32_t stride, uint32_t count2, uint32_t stride2)
{
    for (uint32_t i = 0; i < count * count2; i++, to += length) {
        memcpy(l1 + to, (const uint8_t *)from + i / count * stride2 + i % count * stride, length);
    }
}

MODEL void diana_digital_dma_out(void *to, uint32_t from, uint32_t length, uint32_t count,
                                 uint32_t stride, uint32_t count2, uint32_t stride2)
{
    for (uint32_t i = 0; i < count * count2; i++, from += length) {
        memcpy((uint8_t *)to + i / count * stride2 + i % count * stride, l1 + from, length);
    }
}

MODEL void diana_digital_conv(const uint32_t *program, const void *weights, uint32_t weight_bytes)
{
    (void)weight_bytes;
    convolve(program, (const uint8_t *)weights);
}

MODEL void diana_digital_prepare_rows(const uint32_t *entry, uint32_t pitch)
{
    prepared_entry = entry;
    prepared_pitch = pitch;
}

MODEL void diana_digital_rows(const void *weights, uint32_t weight_bytes)
{
    (void)weight_bytes;
    convolve_rows(prepared_entry, (const uint8_t *)weights, prepared_pitch);
}

/* Four channels share a group of weights, four bytes apart. */
MODEL void diana_digital_depthwise(const uint32_t *program, const void *weights, uint32_t channels,
                                   uint32_t kernel_elements, uint32_t in_plane, uint32_t out_plane)
{
    const uint32_t group = LANES * (kernel_elements + BIAS_ROWS);
    uint32_t job[WORDS];

    memcpy(job, program, sizeof job);
    for (uint32_t i = 0; i < channels; i++) {
        job[INPUT] = program[INPUT] + i * in_plane;
        job[OUTPUT] = program[OUTPUT] + i * out_plane;
        convolve(job, (const uint8_t *)weights + i / 4 * group + i % 4 * 4);
    }
}

/* The function below has all it needs. */
MODEL void diana_digital_prepare_blocks(const uint32_t *entry, uint32_t channels, uint32_t pitch, uint32_t both)
{
    (void)entry;
    (void)channels;
    (void)pitch;
    (void)both;
}

/* Blocks of some channels; those of 16 channels have their weights in one block of memory. */
MODEL void diana_digital_blocks(const uint32_t *entry, const void *weights, uint32_t channels, uint32_t pitch)
{
    const uint32_t lanes = entry[CHANNELS];
    const uint32_t bytes = LANES * (lanes * entry[KERNEL_X] * entry[KERNEL_Y] + BIAS_ROWS);
    uint32_t job[WORDS];

    memcpy(job, entry, sizeof job);
    for (uint32_t first = 0; first < channels; first += lanes) {
        job[CHANNELS] = channels - first < lanes ? channels - first : lanes;
        job[INPUT] = entry[INPUT] + first * entry[IN_PLANE];
        job[OUTPUT] = entry[OUTPUT] + first * entry[OUT_PLANE];
        convolve_rows(job, (const uint8_t *)weights + first / LANES * bytes + first % LANES, pitch);
    }
}

/* Weights are squares of 16 x 16, and after those of 16 outputs a row of 16 bytes for each bias. */
MODEL void diana_digital_dense(const uint32_t *program, const void *weights, uint32_t weight_bytes)
{
    const uint32_t inputs = LANES * program[CHANNELS];

    (void)weight_bytes;
    for (uint32_t k = 0; k < LANES * program[BLOCKS]; k++) {
        const uint8_t *rows = (const uint8_t *)weights + k / LANES * LANES * (inputs + LANES) + k % LANES * LANES;
        const uint8_t *bias = rows + inputs * LANES;
        uint32_t sum = 0;

        for (uint32_t i = 0; i < BIAS_ROWS; i++) {
            sum |= (uint32_t)bias[reversed(i)] << 8 * i;
        }
        for (uint32_t c = 0; c < inputs; c++) {
            const uint8_t *square = rows + c / LANES * LANES * LANES;

            sum = accumulate(sum, element(program[INPUT], c), square[reversed(c % LANES)]);
        }
        store(program[OUTPUT], k, sum, program);
    }
}

MODEL void diana_digital_add(const uint32_t *program)
{
    for (uint32_t i = 0; i < LANES * program[CHANNELS]; i++) {
        const int32_t sum = element(program[INPUT], i) + element(program[WEIGHTS], i);

        store(program[OUTPUT], i, (uint32_t)sum, program);
    }
}

MODEL void diana_digital_wait(void)
{
}
