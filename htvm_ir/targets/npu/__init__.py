"""npu: a parametric SoC with an array of multipliers and a DMA that works beside it."""
