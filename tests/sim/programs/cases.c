/* Small things to do, selected from outside by writing `selected` and `argument`. */
#include "small.h"

#define JOB_START (*(volatile uint32_t *)0x10000200)
#define JOB_STATUS (*(volatile uint32_t *)0x10000204)
#define TAINT (*(volatile uint32_t *)0x10000208)
#define CLEAN (*(volatile uint32_t *)0x1000020c)
#define DEVICE_READ (*(volatile uint32_t *)0x10000210)

volatile uint32_t selected = 0;
volatile uint32_t argument = 0;
volatile uint32_t buffer[8] = {1, 2, 3, 4, 5, 6, 7, 8};
volatile uint32_t observed = 0;

__attribute__((noinline)) uint32_t load_from(uint32_t address) { return *(volatile uint32_t *)address; }
__attribute__((noinline)) void store_to(uint32_t address) { *(volatile uint32_t *)address = 1; }
__attribute__((noinline)) uint32_t jump_to(uint32_t address) { return ((uint32_t (*)(void))address)(); }
__attribute__((noinline)) void spin(void)
{
  for (;;) {
    __asm__ volatile("");
  }
}

__attribute__((noinline)) uint32_t countdown(uint32_t n, uint32_t step)
{
  volatile uint32_t own = n;
  return n == 0 ? 0 : countdown(n - 1, step + 1) + own;
}

static uint32_t job(void)
{
  JOB_START = 1000;
  uint32_t polls = 1;
  while (JOB_STATUS != 0) {
    polls++;
  }
  return polls;
}

static uint32_t taint(uint32_t what)
{
  TAINT = (uint32_t)&buffer[2]; /* words 2 and 3 */
  switch (what) {
  case 0: return buffer[1] + buffer[4];
  case 1: return buffer[3];
  case 2: buffer[3] = 40; return buffer[3];
  case 3: buffer[3] = 40; return buffer[2];
  case 4: CLEAN = (uint32_t)&buffer[2]; return buffer[2] + buffer[3];
  case 5: return ((volatile uint8_t *)buffer)[15];
  default: DEVICE_READ = (uint32_t)&buffer[2]; return 0;
  }
}

static uint32_t loop(uint32_t rounds)
{
  uint32_t before, after, product = 3;
  __asm__ volatile("csrr %0, mcycle\n"
                   "1: mulhu %2, %2, %3\n"
                   "   addi %3, %3, -1\n"
                   "   bnez %3, 1b\n"
                   "   lw %2, 0(%4)\n"
                   "   addi %2, %2, 1\n"
                   "   csrr %1, cycle"
                   : "=&r"(before), "=&r"(after), "+&r"(product), "+&r"(rounds)
                   : "r"(buffer));
  return after - before;
}

static uint32_t run(void)
{
  switch (selected) {
  case 0: return load_from(argument);
  case 1: store_to(argument); return 0;
  case 2: return jump_to(argument);
  case 3: spin(); return 0;
  case 4: return countdown(argument, 100) + countdown(1, 7);
  case 5: return job();
  case 6: return taint(argument);
  case 7: __asm__ volatile(".half 0"); return 0;
  case 8: __asm__ volatile("wfi"); return 0;
  case 9: return loop(argument);
  default: *FINISHER = (argument << 16) | FINISHER_PASS; return 1;
  }
}

int main(void)
{
  observed = run();
  return 0;
}
