/* Branches, recursion, 32- and 64-bit division, indirect calls. */
#include "small.h"

#define COUNT 300

static uint32_t values[COUNT];

static int ascending(uint32_t a, uint32_t b) { return a < b; }
static int by_remainder(uint32_t a, uint32_t b) { return a % 1000u < b % 1000u; }

static int (*volatile orders[2])(uint32_t, uint32_t) = {ascending, by_remainder};

static void sort(uint32_t *first, uint32_t *last, int (*before)(uint32_t, uint32_t))
{
  if (last - first < 2) {
    return;
  }
  uint32_t pivot = *first;
  uint32_t *low = first;
  for (uint32_t *next = first + 1; next < last; next++) {
    if (before(*next, pivot)) {
      *low++ = *next;
      *next = *low;
    }
  }
  *low = pivot;
  sort(first, low, before);
  sort(low + 1, last, before);
}

int main(void)
{
  uint64_t state = 88172645463325252u;
  uint32_t sum = 0;
  for (int round = 0; round < 4; round++) {
    for (int i = 0; i < COUNT; i++) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      values[i] = (uint32_t)(state / 4294967311u);
    }
    sort(values, values + COUNT, orders[round & 1]);
    for (uint32_t i = 0; i < COUNT; i++) {
      sum = sum * 31u + values[i] / (i + 1u);
    }
  }
  return (int)sum;
}
