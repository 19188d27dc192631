"""An MLIR-style multi-level IR compiler for heterogeneous TinyML systems on chip."""
