"""Parts of a network that another compiler computes: found, cut out as ONNX models, and put back as kernels in C."""
