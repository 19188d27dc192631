"""Weights to integers so that the layer's output, not the weights, changes least.

Each weight is rounded in turn, and what its rounding does to the output is made up for by the weights not yet rounded
(Frantar et al., "GPTQ", 2022, after optimal brain surgeon). What matters is the covariance of the layer's operands on
the calibration data; a constant error is left to the bias.
"""

from __future__ import annotations

import numpy as np

from htvm_ir.quantize.exponents import INT8
from htvm_ir.quantize.network import Array

_DAMPING = 0.01
"""Share of the mean variance that is added to every operand's, so that few samples are not trusted too far (GPTQ's)."""


def round_weights(weights: Array, covariance: Array, exponent: int) -> Array:
    """Integers in units of ``2**exponent`` for weights [G, K, D], given the covariance [G, D, D] of their operands."""
    order = np.argsort(-np.diagonal(covariance, axis1=1, axis2=2), axis=1, kind="stable")
    scaled = np.take_along_axis(weights * 2.0**-exponent, order[:, None, :], axis=2)
    rows = np.take_along_axis(covariance, order[:, :, None], axis=1)
    upper = _compensation(np.take_along_axis(rows, order[:, None, :], axis=2))
    result = np.empty_like(scaled)
    for d in range(scaled.shape[2]):
        result[:, :, d] = np.clip(np.rint(scaled[:, :, d]), *INT8)
        error = (scaled[:, :, d] - result[:, :, d]) / upper[:, None, d, d]
        scaled[:, :, d + 1 :] -= error[:, :, None] * upper[:, None, d, d + 1 :]
    back = np.argsort(order, axis=1)
    return np.take_along_axis(result, back[:, None, :], axis=2)


def _compensation(covariance: Array) -> Array:
    """The upper Cholesky factor of the inverse, [G, D, D]."""
    size = covariance.shape[1]
    diagonal = np.diagonal(covariance, axis1=1, axis2=2)
    mean = diagonal.mean(axis=1)
    damping = _DAMPING * np.where(mean > 0, mean, 1.0)
    inverse = np.linalg.inv(covariance + damping[:, None, None] * np.eye(size))
    return np.linalg.cholesky((inverse + inverse.swapaxes(1, 2)) / 2).swapaxes(1, 2)
