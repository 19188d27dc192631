"""Access to buffers of bytes in words, in C that no aliasing rule forbids: compilers make one load or store of it."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.memref import ViewOp

LOAD_WORD, STORE_WORD = "htvm_load_word", "htvm_store_word"

_FUNCTIONS = f"""\
// Words of 32 bits in buffers of bytes, which are aligned to 4.
static inline int32_t {LOAD_WORD}(const void *words, int32_t i) {{
  int32_t word;
  __builtin_memcpy(&word, (const int8_t *)__builtin_assume_aligned(words, 4) + 4 * i, sizeof word);
  return word;
}}

static inline void {STORE_WORD}(void *words, int32_t i, int32_t word) {{
  __builtin_memcpy((int8_t *)__builtin_assume_aligned(words, 4) + 4 * i, &word, sizeof word);
}}"""


def word_functions(module: ModuleOp) -> list[str]:
    """The definitions, if kernels use them."""
    return [_FUNCTIONS] if any(isinstance(op, ViewOp) for op in module.walk()) else []
