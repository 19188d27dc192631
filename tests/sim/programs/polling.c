/* Device accesses in the middle of blocks and loops, misaligned loads, a block longer than a page, counter reads. */
#include "small.h"

static uint8_t bytes[64];

static uint32_t misaligned_word(const uint8_t *at)
{
  uint32_t word;
  __asm__ volatile("lw %0, 0(%1)" : "=r"(word) : "r"(at) : "memory");
  return word;
}

static uint32_t long_block(uint32_t value)
{
  __asm__ volatile(".rept 3000\n xori %0, %0, 0x5a\n addi %0, %0, 3\n .endr" : "+r"(value));
  return value;
}

int main(void)
{
  uint32_t sum = 0;
  for (uint32_t i = 0; i < sizeof bytes; i++) {
    bytes[i] = (uint8_t)(i * 37u);
    sum += UART[UART_LINE_STATUS] & UART_IDLE;
    sum ^= i;
    sum += UART[UART_LINE_STATUS] & UART_IDLE;
  }
  for (uint32_t i = 0; i < 40; i++) {
    uint32_t before, after;
    __asm__ volatile("csrr %0, minstret" : "=r"(before));
    sum = sum * 3u + misaligned_word(&bytes[i]);
    __asm__ volatile("csrr %0, instret" : "=r"(after));
    sum += after - before;
    if ((i & 7u) == 0) {
      put_hex(sum);
    }
    sum = long_block(sum);
  }
  return (int)sum;
}
