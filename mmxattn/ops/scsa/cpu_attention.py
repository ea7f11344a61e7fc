"""SCSA's channel attention as Numba loops: norm, projections, scores and weighted mean (Eq. 9 to 12).

The mean over pixels of A V is A times the mean of V, so a value is a single number per channel.
"""
import numpy as np

from ..compiled.jit import exp2, jit, maximum
from .cpu_gates import LOG2_E, ONE, moments, parameter

__all__ = ['channel_gate', 'normalize_pooled']

CACHE_LINES = 16  # written in turn, few enough to stay in the L1 cache


@jit
def normalize_pooled(args, pooled, queries, keys, values):
    """Project the pooled map (C, N) of an image to queries (C, N), keys (N, C) and mean values (C,)."""
    channels, pixels = pooled.shape
    norm = 2 * args.groups + 4
    weight, bias = parameter(args, norm, channels), parameter(args, norm + 1, channels)
    q, k, v = (parameter(args, norm + 2, channels), parameter(args, norm + 3, channels),
               parameter(args, norm + 4, channels))
    mean, rstd = moments(pooled, args.eps)
    q_scale = LOG2_E / np.sqrt(np.float32(channels))  # scores are exponents of 2
    values[:] = 0
    for block in range(0, pixels, CACHE_LINES):
        for c in range(channels):
            scale = weight[c] * rstd
            shift = bias[c] - mean * scale
            for n in range(block, min(block + CACHE_LINES, pixels)):
                normed = pooled[c, n] * scale + shift
                queries[c, n] = normed * q[c] * q_scale
                keys[n, c] = normed * k[c]
                values[c] += normed
    for c in range(channels):
        values[c] *= v[c] / np.float32(pixels)


@jit
def channel_gate(args, query, keys, values, scores):
    """Compute the gate of a channel from its query (N,). ``scores`` (C,) is a buffer."""
    channel_scores(query, keys, scores)
    largest = maximum(scores)
    total, weighted = np.float32(0), np.float32(0)
    for c in range(scores.shape[0]):
        weight = exp2(scores[c] - largest)
        total += weight
        weighted += weight * values[c]
    return args.gate_scale / (ONE + exp2(-LOG2_E * weighted / total))


@jit
def channel_scores(query, keys, scores):
    """Multiply a query (N,) with keys (N, C), four pixels at a time to store scores less often."""
    pixels, channels = keys.shape
    rest = pixels % 4
    scores[:] = 0
    for n in range(rest):
        for c in range(channels):
            scores[c] += query[n] * keys[n, c]
    for n in range(rest, pixels, 4):
        q0, q1, q2, q3 = query[n], query[n + 1], query[n + 2], query[n + 3]
        for c in range(channels):
            scores[c] += q0 * keys[n, c] + q1 * keys[n + 1, c] + q2 * keys[n + 2, c] + q3 * keys[n + 3, c]
