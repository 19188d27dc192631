#include "diana_copy.h"

#include "diana_core.h"

void diana_copy_wait(void)
{
    wait_core(DIANA_ANALOG);
}

void diana_copy_in(uint32_t l1, const void *l2, uint32_t length, uint32_t count,
                   uint32_t stride, uint32_t count2, uint32_t stride2)
{
    copy_plain((struct transfer){DIANA_ANALOG, ANALOG_DMA, OP_L2_TO_L1, length, count, stride, count2, stride2, 1},
               address_of(l2), l1);
}

void diana_copy_out(void *l2, uint32_t l1, uint32_t length, uint32_t count,
                    uint32_t stride, uint32_t count2, uint32_t stride2)
{
    copy_plain((struct transfer){DIANA_ANALOG, ANALOG_DMA, OP_L1_TO_L2, length, count, stride, count2, stride2, 1},
               address_of(l2), l1);
}
