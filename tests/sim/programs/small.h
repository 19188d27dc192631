/* The devices of the SoC under test: those of QEMU's `virt` machine that a program needs to speak and to end. */
#ifndef SMALL_H
#define SMALL_H

#include <stdint.h>

#define UART ((volatile uint8_t *)0x10000000)
#define UART_LINE_STATUS 5
#define UART_IDLE 0x20

#define FINISHER ((volatile uint32_t *)0x100000)
#define FINISHER_PASS 0x5555u

int main(void);
void put_char(char character);
void put_hex(uint32_t value);
_Noreturn void finish(uint32_t result, uint32_t instructions);

#endif
