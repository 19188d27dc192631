#include "diana_analog.h"

#include "diana_core.h"
#include "diana_digital.h"

/* Registers of the analog core that the digital one does not have in the same place, as in diana_core.h. */
enum {
    WT_CONV_ADDR = 0x40,
    WT_SIMD_ADDR = 0x44,
    IM_ADDR = 0x48,
    IM_WORDS = 0x4C,
    ACT_ADDR = 0x50,
    ACT_WORDS = 0x54,
    CONF_ADDR = 0x58,
    CONF_WORDS = 0x5C,
    NB_TILE = 0x68
};
/* Registers that only this DMA has, behind the others. */
enum { BANKS = 0x10, ROWS_PER_BANK = 0x14 };

enum { OP_BANKED = 2 }; /* added to the operation */
enum { PROGRAM_WORDS = 32, CONFIG = 16, MAX_BANKS = 4, BANK_BYTES = 512 * ROW_BYTES };

/* Pads (SDK headers): two bits of function each, and the GPIO block behind them. */
#define PAD_FUNCTIONS 0x1A104010u
#define GPIO 0x1A101000u
enum { PADDIR = 0x00, PADIN = 0x08, PADOUT = 0x0C };
#define ALL_PADS_GPIO 0x55555555u
#define PAD_REQUEST (1u << 17)
#define PAD_READY (1u << 18)

/* What the published power-up runs: a 1x1 convolution of 64 to 512 channels on 2x2 pixels, from row 0 to row 0x800,
 * then the stop entry. */
static const uint32_t boot_program[PROGRAM_WORDS] DIANA_L2_SHARED_CONST = {
    0x0000003F, 0x08000000, 0x00000000, 0x00400000, 0x00020200, 0x00070002, 0x00020011, 0x00010002,
    0x00000001, 0x20050001, 0x0100FFFF, 0x0000F000, 0x00800084, 0x00000000, 0x00000000, 0x00000000,
    0x0000003F, 0x00000000, 0x00000000, 0x00000000, 0x00000000, 0x00070000, 0x00000000, 0x00010000,
    0x00000000, 0x00050001, 0x010A0001, 0x0000F001, 0x00000084};
static const uint32_t boot_config[CONFIG] DIANA_L2_SHARED_CONST = {0x01000000, 0x01010001};

static uint32_t has_power;

static inline void set(uint32_t offset, uint32_t value)
{
    store(DIANA_ANALOG + offset, value);
}

void diana_analog_wait(void)
{
    wait_core(DIANA_ANALOG);
}

/* One contiguous piece of L2; more than four banks take one transfer for each pixel and each four of them. */
static inline void start_banked_piece(const struct transfer *t, uint32_t l2, uint32_t l1)
{
    const uint32_t banks = t->banks;

    if (banks == 1) {
        store(t->dma + MEMCPY_OP, t->operation);
        store(t->dma + MEMCPY_WORDS, dma_words(t->length));
        start_plain_piece(t, l2, l1);
        return;
    }
    uint32_t pixels = t->length / (ROW_BYTES * banks);
    uint32_t rows = banks <= MAX_BANKS ? pixels : 1;

    store(t->dma + MEMCPY_OP, t->operation + OP_BANKED);
    store(t->dma + ROWS_PER_BANK, rows);
    for (;;) {
        for (uint32_t bank = 0;;) {
            uint32_t some = banks - bank < MAX_BANKS ? banks - bank : MAX_BANKS;

            store(t->dma + BANKS, some);
            start_plain_piece(t, l2, l1 + bank * BANK_BYTES);
            l2 += some * rows * ROW_BYTES;
            bank += some;
            if (bank == banks) {
                break;
            }
            wait_core(DIANA_ANALOG);
        }
        pixels -= rows;
        if (pixels == 0) {
            return;
        }
        wait_core(DIANA_ANALOG);
        l1 += rows * ROW_BYTES;
    }
}

static inline void copy(uint32_t operation, uint32_t l2, uint32_t l1, uint32_t length, uint32_t count,
                        uint32_t stride, uint32_t count2, uint32_t stride2, uint32_t banks)
{
    const struct transfer t = {DIANA_ANALOG, ANALOG_DMA, operation, length, count, stride, count2, stride2, banks};

    move_pieces(joined(t), start_banked_piece, l2, l1);
}

void diana_analog_dma_in(uint32_t l1, const void *l2, uint32_t length, uint32_t count,
                         uint32_t stride, uint32_t count2, uint32_t stride2, uint32_t banks)
{
    copy(OP_L2_TO_L1, address_of(l2), l1, length, count, stride, count2, stride2, banks);
}

void diana_analog_dma_out(void *l2, uint32_t l1, uint32_t length, uint32_t count,
                          uint32_t stride, uint32_t count2, uint32_t stride2, uint32_t banks)
{
    copy(OP_L1_TO_L2, address_of(l2), l1, length, count, stride, count2, stride2, banks);
}

/* Nothing is left to an earlier call or to the reset values, which are not documented. */
static inline void launch(const uint32_t *program, const uint32_t *config, uint32_t weights)
{
    store(ANALOG_DMA + MEMCPY_OP, OP_COMPUTE);
    set(CONF_ADDR, address_of(config));
    set(CONF_WORDS, CONFIG);
    set(IM_ADDR, address_of(program));
    set(IM_WORDS, PROGRAM_WORDS);
    set(ACT_ADDR, 0);
    set(ACT_WORDS, 0);
    set(NB_TILE, 0);
    set(WT_CONV_ADDR, weights);
    set(WT_SIMD_ADDR, 0);
    start_core(DIANA_ANALOG);
}

/* The published sequence without its delay loops (25 thousand iterations after the pads, 200 million at the end),
 * whose reason it does not tell. A board that needs time to settle needs them back. */
void diana_analog_boot(void)
{
    store(PAD_FUNCTIONS, ALL_PADS_GPIO);
    store(PAD_FUNCTIONS + 4, ALL_PADS_GPIO);
    store(GPIO + PADDIR, ~PAD_READY);
    store(GPIO + PADOUT, load(GPIO + PADOUT) | PAD_REQUEST);
    launch(boot_program, boot_config, 0);
    diana_analog_wait();
    store(GPIO + PADOUT, load(GPIO + PADOUT) & ~PAD_REQUEST);
    while ((load(GPIO + PADIN) & PAD_READY) == 0) {
    }
    has_power = 1;
}

void diana_analog_conv(const uint32_t *program, const uint32_t *config, const void *weights)
{
    if (has_power == 0) {
        diana_analog_boot();
    }
    launch(program, config, address_of(weights));
}
