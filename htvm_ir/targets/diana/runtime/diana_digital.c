#include "diana_digital.h"

#include "diana_core.h"

/* Registers of the digital core that the analog one does not have in the same place, as in diana_core.h. */
enum {
    WT_CONV_ADDR = 0x40,
    WT_CONV_WORDS = 0x44,
    WT_FC_ADDR = 0x48,
    WT_FC_WORDS = 0x4C,
    IM_ADDR = 0x50,
    IM_WORDS = 0x54,
    ACT_ADDR = 0x58,
    ACT_WORDS = 0x5C,
    CONF_ADDR = 0x60,
    CONF_WORDS = 0x64
};

enum { INSTRUCTION_WORDS = 32, PROGRAM_WORDS = 64, CONFIG = 16 };
enum { WORD_MODE = 0, WORD_WEIGHTS = 1, WORD_INPUT = 2, WORD_OUTPUT = 3, WORD_C = 4, WORD_CX = 6, WORD_CY = 7 };
enum { WORD_IN_PLANE = 9, WORD_FX = 10, WORD_FY = 11, WORD_OY = 13, WORD_OUT_PLANE = 16, WORD_STOP = 18 };
enum { WORD_PADDING = 20, WORD_STRIDED = 24, USED_WORDS = 28, MODE_CONV = 1 };
enum { LANES = 16, MOST_JOBS = 25, LIST_WORDS = (MOST_JOBS + 1) * INSTRUCTION_WORDS };

/* The published driver's configurations; what the words mean is not known. */
static const uint32_t conv_config[CONFIG] DIANA_L2_SHARED_CONST = {0x800, 0xF};
static const uint32_t plain_config[CONFIG] DIANA_L2_SHARED_CONST = {0};

/* The program of the depthwise job in flight; its second instruction is the stop entry. */
static uint32_t channel_program[PROGRAM_WORDS] DIANA_L2_SHARED = {
    [INSTRUCTION_WORDS + WORD_STOP] = 1};

/* Jobs made at run time, and a stop entry each. The core works on at most one of the two lists; the other is free. */
static uint32_t job_lists[2][LIST_WORDS] __attribute__((section(".l2_shared_bss.jobs"), aligned(32)));
static uint32_t free_list; /* index of the list that is free, or prepared */

/* What the next call needs of the list that is prepared, so that it begins at once: where it begins and ends, where the
 * second one ends if that is made too, and how many words of weights a trigger streams. */
static uint32_t *prepared_list;
static uint32_t *prepared_end;
static uint32_t *second_end;
static uint32_t prepared_words;

static inline void set(uint32_t offset, uint32_t value)
{
    store(DIANA_DIGITAL + offset, value);
}

static inline void start(void)
{
    start_core(DIANA_DIGITAL);
}

void diana_digital_wait(void)
{
    wait_core(DIANA_DIGITAL);
}

/* Several pieces: a function of its own, so that the short way of one piece stays short. */
static __attribute__((noinline)) void diana_digital_copy_pieces(uint32_t l2, uint32_t l1, uint32_t length,
                                                                uint32_t count, uint32_t stride, uint32_t count2,
                                                                uint32_t stride2)
{
    const struct transfer t =
        joined((struct transfer){DIANA_DIGITAL, DIGITAL_DMA, OP_COMPUTE, length, count, stride, count2, stride2, 1});

    store(DIGITAL_DMA + MEMCPY_WORDS, dma_words(t.length));
    move_pieces(t, start_plain_piece, l2, l1);
}

static inline void copy(uint32_t operation, uint32_t l2, uint32_t l1, uint32_t length,
                        uint32_t count, uint32_t stride, uint32_t count2, uint32_t stride2)
{
    store(DIGITAL_DMA + MEMCPY_OP, operation);
    if (count != 1 || count2 != 1) {
        diana_digital_copy_pieces(l2, l1, length, count, stride, count2, stride2);
        return;
    }
    store(DIGITAL_DMA + MEMCPY_WORDS, dma_words(length));
    store(DIGITAL_DMA + MEMCPY_ADDR, l2);
    store(DIGITAL_DMA + L1_ROW, l1 / ROW_BYTES);
    start();
}

void diana_digital_dma_in(uint32_t l1, const void *l2, uint32_t length, uint32_t count,
                          uint32_t stride, uint32_t count2, uint32_t stride2)
{
    copy(OP_L2_TO_L1, address_of(l2), l1, length, count, stride, count2, stride2);
}

void diana_digital_dma_out(void *l2, uint32_t l1, uint32_t length, uint32_t count,
                           uint32_t stride, uint32_t count2, uint32_t stride2)
{
    copy(OP_L1_TO_L2, address_of(l2), l1, length, count, stride, count2, stride2);
}

/* Everything of a job but its weights and the trigger. Nothing is left to an earlier call or to the reset
 * values, which are not documented. */
static inline void prepare(const uint32_t *config, const volatile uint32_t *program, uint32_t words)
{
    store(DIGITAL_DMA + MEMCPY_OP, OP_COMPUTE);
    set(CONF_ADDR, address_of(config));
    set(CONF_WORDS, CONFIG);
    set(IM_ADDR, address_of(program));
    set(IM_WORDS, words);
    set(ACT_ADDR, 0);
    set(ACT_WORDS, 0);
}

void diana_digital_conv(const uint32_t *program, const void *weights, uint32_t weight_bytes)
{
    prepare(conv_config, program, PROGRAM_WORDS);
    set(WT_CONV_ADDR, address_of(weights));
    set(WT_CONV_WORDS, weight_bytes / 4);
    start();
}

void diana_digital_dense(const uint32_t *program, const void *weights, uint32_t weight_bytes)
{
    prepare(plain_config, program, PROGRAM_WORDS);
    set(WT_FC_ADDR, address_of(weights));
    set(WT_FC_WORDS, weight_bytes / 4);
    start();
}

void diana_digital_add(const uint32_t *program)
{
    prepare(plain_config, program, PROGRAM_WORDS);
    start();
}

/* Four channels share a group of weights, four bytes apart. The core may fetch its program at any time before it is
 * idle, so the pointers are patched in a copy, and only while it is idle. */
void diana_digital_depthwise(const uint32_t *program, const void *weights, uint32_t channels,
                             uint32_t kernel_elements, uint32_t in_plane, uint32_t out_plane)
{
    const uint32_t group = 16 * kernel_elements + 64;
    uint32_t input = program[WORD_INPUT];
    uint32_t output = program[WORD_OUTPUT];
    uint32_t weight = address_of(weights);

    for (uint32_t i = 0; i < INSTRUCTION_WORDS; i++) {
        channel_program[i] = program[i];
    }
    prepare(conv_config, channel_program, PROGRAM_WORDS);
    set(WT_CONV_WORDS, group / 4);
    for (uint32_t i = 1;; i++) {
        set(WT_CONV_ADDR, weight);
        start();
        if (i == channels) {
            return;
        }
        input += in_plane;
        output += out_plane;
        weight += i % 4 != 0 ? 4 : group - 12;
        diana_digital_wait();
        channel_program[WORD_INPUT] = input;
        channel_program[WORD_OUTPUT] = output;
    }
}

/* Make a job from `entry`, with its own pointers. Pointers and words 28 to 31 aside, the words are those of the entry. */
static inline void make_job(uint32_t *job, const uint32_t *entry, uint32_t weights, uint32_t input, uint32_t output)
{
    job[WORD_MODE] = MODE_CONV;
    job[WORD_WEIGHTS] = weights;
    job[WORD_INPUT] = input;
    job[WORD_OUTPUT] = output;
    for (uint32_t i = WORD_C; i < USED_WORDS; i += 4) {
        const uint32_t a = entry[i], b = entry[i + 1], c = entry[i + 2], d = entry[i + 3];

        job[i] = a; /* four loads, then four stores: no load is waited for */
        job[i + 1] = b;
        job[i + 2] = c;
        job[i + 3] = d;
    }
    for (uint32_t i = USED_WORDS; i < INSTRUCTION_WORDS; i++) {
        job[i] = 0;
    }
}

/* Append the job of an entry to the list, or with a `pitch` one for each of its output rows. Returns the end. */
static uint32_t *append(uint32_t *job, const uint32_t *entry, uint32_t weights, uint32_t input, uint32_t output,
                        uint32_t pitch)
{
    const uint32_t padding = entry[WORD_PADDING];
    const uint32_t top = padding >> 8 & 0xF;
    const uint32_t step = entry[WORD_STRIDED] + 1;
    uint32_t before = 0; /* rows of padding and of the map in front of the window */

    if (pitch == 0) {
        make_job(job, entry, weights, input, output);
        return job + INSTRUCTION_WORDS;
    }
    for (uint32_t row = entry[WORD_OY]; row > 0; row--) {
        const uint32_t skipped = before > top ? before - top : 0;

        make_job(job, entry, weights, input + skipped * entry[WORD_CX], output);
        job[WORD_CY] = entry[WORD_CY] - skipped;
        job[WORD_OY] = 1;
        job[WORD_PADDING] = (padding & ~0xF00u) | (top + skipped - before) << 8;
        job += INSTRUCTION_WORDS;
        output += pitch;
        before += step;
    }
    return job;
}

/* A list ends behind its last job. */
static inline void end_list(uint32_t *end)
{
    end[WORD_STOP] = 1;
    for (uint32_t i = USED_WORDS; i < INSTRUCTION_WORDS; i++) {
        end[i] = 0;
    }
}

/* Make the list of 16 channels, the first of which has its maps at `input` and `output`. Returns its end. */
static uint32_t *make_blocks(uint32_t *list, const uint32_t *entry, uint32_t input, uint32_t output, uint32_t pitch)
{
    const uint32_t lanes = entry[WORD_C];

    for (uint32_t lane = 0; lane < LANES; lane += lanes) {
        list = append(list, entry, lane, input, output, pitch);
        input += lanes * entry[WORD_IN_PLANE];
        output += lanes * entry[WORD_OUT_PLANE];
    }
    end_list(list);
    return list;
}

/* Leave of a list the jobs of so many channels, less than 16; each block has `rows` jobs. */
static void cut_blocks(uint32_t *job, uint32_t lanes, uint32_t rows, uint32_t channels)
{
    for (; channels > lanes; channels -= lanes) {
        job += rows * INSTRUCTION_WORDS;
    }
    for (; rows > 0; rows--) {
        job[WORD_C] = channels;
        job += INSTRUCTION_WORDS;
    }
    end_list(job);
}

void diana_digital_prepare_rows(const uint32_t *entry, uint32_t pitch)
{
    prepared_list = job_lists[free_list];
    end_list(append(prepared_list, entry, 0, entry[WORD_INPUT], entry[WORD_OUTPUT], pitch));
}

/* Start a convolution that has a prepared list. */
static inline void start_list(const void *weights, uint32_t words)
{
    prepare(conv_config, prepared_list, LIST_WORDS);
    set(WT_CONV_ADDR, address_of(weights));
    set(WT_CONV_WORDS, words);
    start();
    free_list ^= 1;
}

void diana_digital_rows(const void *weights, uint32_t weight_bytes)
{
    start_list(weights, weight_bytes / 4);
}

/* Bytes of the weights of 16 channels. */
static inline uint32_t block_bytes(const uint32_t *entry)
{
    return LANES * (entry[WORD_C] * entry[WORD_FX] * entry[WORD_FY] + 4);
}

/* Make the list of the second 16 channels. Returns its end. */
static uint32_t *make_second(uint32_t *list, const uint32_t *entry, uint32_t pitch)
{
    const uint32_t input = entry[WORD_INPUT] + LANES * entry[WORD_IN_PLANE];

    return make_blocks(list, entry, input, entry[WORD_OUTPUT] + LANES * entry[WORD_OUT_PLANE], pitch);
}

void diana_digital_prepare_blocks(const uint32_t *entry, uint32_t channels, uint32_t pitch, uint32_t both)
{
    prepared_list = job_lists[free_list];
    prepared_end = make_blocks(prepared_list, entry, entry[WORD_INPUT], entry[WORD_OUTPUT], pitch);
    prepared_words = (block_bytes(entry) + LANES - entry[WORD_C]) / 4;
    second_end = 0;
    if (channels < LANES) {
        cut_blocks(prepared_list, entry[WORD_C], pitch == 0 ? 1 : entry[WORD_OY], channels);
    } else if (channels > LANES && both) {
        second_end = make_second(job_lists[free_list ^ 1], entry, pitch);
    }
}

/* All triggers but the first, whose weights are given: while the core works on one list, the other is made ready. */
static __attribute__((noinline)) void more_blocks(const uint32_t *entry, uint32_t weight, uint32_t channels,
                                                  uint32_t pitch)
{
    const uint32_t in_step = 2 * LANES * entry[WORD_IN_PLANE];
    const uint32_t out_step = 2 * LANES * entry[WORD_OUT_PLANE];
    const uint32_t bytes = block_bytes(entry);
    uint32_t *list = job_lists[free_list];
    uint32_t *end = second_end != 0 ? second_end : make_second(list, entry, pitch);
    uint32_t *busy = prepared_list;
    uint32_t *busy_end = prepared_end;

    for (channels -= LANES;; channels -= LANES) {
        uint32_t *const used = busy;
        uint32_t *const used_end = busy_end;

        if (channels < LANES) {
            cut_blocks(list, entry[WORD_C], pitch == 0 ? 1 : entry[WORD_OY], channels);
        }
        weight += bytes;
        diana_digital_wait();
        set(IM_ADDR, address_of(list));
        set(WT_CONV_ADDR, weight);
        start();
        if (channels <= LANES) {
            free_list = used == job_lists[1];
            return;
        }
        busy = list;
        busy_end = end;
        list = used;
        end = used_end;
        for (uint32_t *job = list; job != end; job += INSTRUCTION_WORDS) {
            job[WORD_INPUT] += in_step;
            job[WORD_OUTPUT] += out_step;
        }
    }
}

/* What the other triggers need of the CPU's registers is saved when the core has begun. */
void diana_digital_blocks(const uint32_t *entry, const void *weights, uint32_t channels, uint32_t pitch)
{
    start_list(weights, prepared_words);
    if (channels > LANES) {
        more_blocks(entry, address_of(weights), channels, pitch);
    }
}
