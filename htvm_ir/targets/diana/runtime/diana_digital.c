#include "diana_digital.h"

/* Registers of the digital core, as byte offsets (hwme_v1.h of DIANA's SDK). *_WORDS count 32-bit words. */
#define BASE 0x1A10C000u
enum {
    TRIGGER = 0x00,
    STATUS = 0x0C,
    WT_CONV_ADDR = 0x40,
    WT_CONV_WORDS = 0x44,
    WT_FC_ADDR = 0x48,
    WT_FC_WORDS = 0x4C,
    IM_ADDR = 0x50,
    IM_WORDS = 0x54,
    ACT_ADDR = 0x58,
    ACT_WORDS = 0x5C,
    CONF_ADDR = 0x60,
    CONF_WORDS = 0x64,
    MEMCPY_OP = 0xA0,
    MEMCPY_ADDR = 0xA4,
    MEMCPY_WORDS = 0xA8,
    L1_ROW = 0xAC
};

enum { OP_COMPUTE = 0, OP_L1_TO_L2 = 1, OP_L2_TO_L1 = 2 };
enum { ROW_BYTES = 16, GRANULE = 32, INSTRUCTION_WORDS = 32, PROGRAM_WORDS = 64, CONFIG = 16 };
enum { MODE_CONV = 1, WORD_MODE = 0, WORD_WEIGHTS = 1, WORD_INPUT = 2, WORD_OUTPUT = 3, WORD_C = 4 };
enum { WORD_IN_PLANE = 9, WORD_FX = 10, WORD_FY = 11, WORD_OUT_PLANE = 16, WORD_STOP = 18, USED_WORDS = 28 };
enum { LANES = 16, MOST_BLOCKS = 4, LIST_WORDS = (MOST_BLOCKS + 1) * INSTRUCTION_WORDS };

/* The published driver's configurations; what the words mean is not known. */
static const uint32_t conv_config[CONFIG] DIANA_L2_SHARED_CONST = {0x800, 0xF};
static const uint32_t plain_config[CONFIG] DIANA_L2_SHARED_CONST = {0};

/* The program of the depthwise job in flight; its second instruction is the stop entry. */
static uint32_t channel_program[PROGRAM_WORDS] DIANA_L2_SHARED = {
    [INSTRUCTION_WORDS + WORD_STOP] = 1};

/* The blocks of the trigger in flight, and a stop entry. */
static uint32_t block_list[LIST_WORDS] DIANA_L2_SHARED = {
    [WORD_MODE] = MODE_CONV,
    [INSTRUCTION_WORDS + WORD_MODE] = MODE_CONV,
    [2 * INSTRUCTION_WORDS + WORD_MODE] = MODE_CONV,
    [3 * INSTRUCTION_WORDS + WORD_MODE] = MODE_CONV,
    [4 * INSTRUCTION_WORDS + WORD_STOP] = 1};

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

void diana_digital_wait(void)
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
            diana_digital_wait();
            piece += stride;
            l1 += length;
        }
        if (--count2 == 0) {
            return;
        }
        diana_digital_wait();
        l2 += stride2;
        l1 += length;
    }
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
static inline void prepare(const uint32_t *config, const volatile uint32_t *program)
{
    set(MEMCPY_OP, OP_COMPUTE);
    set(CONF_ADDR, address_of(config));
    set(CONF_WORDS, CONFIG);
    set(IM_ADDR, address_of(program));
    set(IM_WORDS, PROGRAM_WORDS);
    set(ACT_ADDR, 0);
    set(ACT_WORDS, 0);
}

void diana_digital_conv(const uint32_t *program, const void *weights, uint32_t weight_bytes)
{
    prepare(conv_config, program);
    set(WT_CONV_ADDR, address_of(weights));
    set(WT_CONV_WORDS, weight_bytes / 4);
    start();
}

void diana_digital_dense(const uint32_t *program, const void *weights, uint32_t weight_bytes)
{
    prepare(plain_config, program);
    set(WT_FC_ADDR, address_of(weights));
    set(WT_FC_WORDS, weight_bytes / 4);
    start();
}

void diana_digital_add(const uint32_t *program)
{
    prepare(plain_config, program);
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
    prepare(conv_config, channel_program);
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

/* Copy an entry for each block of a trigger; block i uses the weights of the lanes from `lanes * i` on. */
static inline void copy_blocks(const uint32_t *entry, uint32_t lanes)
{
    uint32_t *block = block_list;

    for (uint32_t first = 0; first < LANES; first += lanes) {
        block[WORD_WEIGHTS] = first;
        for (uint32_t i = WORD_C; i < USED_WORDS; i += 4) {
            const uint32_t a = entry[i], b = entry[i + 1], c = entry[i + 2], d = entry[i + 3];

            block[i] = a; /* four loads, then four stores: no load is waited for */
            block[i + 1] = b;
            block[i + 2] = c;
            block[i + 3] = d;
        }
        block += INSTRUCTION_WORDS;
    }
    block[WORD_STOP] = 1;
}

void diana_digital_blocks(const uint32_t *entry, const void *weights, uint32_t channels)
{
    const uint32_t lanes = entry[WORD_C];
    const uint32_t in_step = lanes * entry[WORD_IN_PLANE];
    const uint32_t out_step = lanes * entry[WORD_OUT_PLANE];
    const uint32_t bytes = LANES * (lanes * entry[WORD_FX] * entry[WORD_FY] + 4);
    uint32_t input = entry[WORD_INPUT];
    uint32_t output = entry[WORD_OUTPUT];
    uint32_t weight = address_of(weights);

    copy_blocks(entry, lanes);
    prepare(conv_config, block_list);
    set(IM_WORDS, LIST_WORDS);
    set(WT_CONV_WORDS, (bytes + LANES - lanes) / 4);
    for (;;) {
        uint32_t *block = block_list;

        for (uint32_t left = LANES;;) {
            block[WORD_INPUT] = input;
            block[WORD_OUTPUT] = output;
            if (channels <= lanes) {
                block[WORD_C] = channels;
                block[INSTRUCTION_WORDS + WORD_STOP] = 1;
                channels = 0;
                break;
            }
            input += in_step;
            output += out_step;
            channels -= lanes;
            left -= lanes;
            if (left == 0) {
                break;
            }
            block += INSTRUCTION_WORDS;
        }
        set(WT_CONV_ADDR, weight);
        start();
        if (channels == 0) {
            return;
        }
        weight += bytes;
        diana_digital_wait();
    }
}
