"""The gradients of softmax attention as loops that Numba compiles for a CPU, in single precision.

A thread takes whole heads. With Q and S as in ``loops.py``, q the queries as they are given, G the gradient to the
output, and D_i = sum over c of G_ic O_ic,

    P_j = exp2(S_j - x)                                         x, of each query, has been kept
    T_j = P_j * ((sum over c of v_jc G_c) - D) / sqrt(channels)
    dL/dv_j = sum over i of P_ji G_i
    dL/dk_j = sum over i of T_ji q_i
    dL/dq_i = sum over j of T_ji k_j

The two sums over queries have sixteen channels along a register, all others queries.
"""
import math
from typing import Any

import numpy as np
from numba import carray

from ..compiled.functions import as_c, floats_at, loops, number_of_threads, thread_number, version_of
from ..compiled.lanes import BYTES, WIDTH, exp2, load, multiply_add, store
from .loops import KEYS, NUMBER, ROW, ZERO, gather, score, take, workspace
from .told import QUERIES, ToldOfGradients

__all__ = ['compiled']

SLICE_ROWS = 16  # of a tile of sums, each of one register
LN2 = np.float32(math.log(2))


@loops
def ask(told, q, g, out, exponents, count, across, down, of_each):
    """Some queries, of those that there are not zeros.

    Args:
        told: ToldOfGradients.
        q, g, out, exponents: addresses of the first one's.
        count: how many there are.
        across: set to Q and G / sqrt(channels), (2, channels, QUERIES).
        down: set to q and G, (2, slices, QUERIES, WIDTH).
        of_each: set to x and D / sqrt(channels), (2, QUERIES).
    """
    channels, scale = told.channels, told.scale * LN2
    x = carray(floats_at(exponents), count)
    across[:] = ZERO
    down[:] = ZERO
    of_each[:] = ZERO
    for i in range(count):
        q_i = carray(floats_at(q + i * told.q_token), channels)
        g_i = carray(floats_at(g + i * told.grad_token), channels)
        out_i = carray(floats_at(out + i * told.out_token), channels)
        d = ZERO
        for c in range(channels):
            across[0, c, i], across[1, c, i] = q_i[c] * told.scale, g_i[c] * scale
            down[0, c // WIDTH, i, c % WIDTH], down[1, c // WIDTH, i, c % WIDTH] = q_i[c], g_i[c]
            d += g_i[c] * out_i[c]
        of_each[0, i], of_each[1, i] = x[i], d * scale


@loops
def weigh_again(scores, slopes, count, of_each):
    """P in the place of S, and T in the place of what G has of the values; both stay zero for keys that are missing.

    Not an S of minus infinity for these: products with so small a P take a processor a hundred times as long.
    """
    for lane in range(0, ROW, BYTES):
        exponent, less = load(of_each + lane), load(of_each + ROW + lane)
        for place in range(lane, lane + count * ROW, ROW):
            weight = exp2(load(scores + place) - exponent)
            store(scores + place, weight)
            store(slopes + place, weight * (load(slopes + place) - less))


@loops
def collect(weights, rows, down, slices, step, into):
    """What queries give to keys: the sum of weights (rows, QUERIES) times down (slices, QUERIES, WIDTH)."""
    for s in range(slices):
        for j in range(0, rows, SLICE_ROWS):
            for i in range(0, QUERIES, WIDTH):
                multiply_add(into + s * step + j * BYTES, weights + j * ROW + i * NUMBER, ROW, NUMBER,
                             down + (s * QUERIES + i) * BYTES, SLICE_ROWS, 1, False)


@loops
def put(place, token, count, slices):
    """A head's gradients (slices, tokens, WIDTH) to their places."""
    for j in range(count):
        for s in range(slices.shape[0]):
            y = carray(floats_at(place + j * token + s * BYTES), WIDTH)
            for c in range(WIDTH):
                y[c] = slices[s, j, c]


@loops
def differentiate(told, image, head, keys, values, of_keys, of_values, across, down, of_each, scores, slopes,
                  of_queries):
    """The gradients of a head."""
    channels = told.channels
    slices, row, step = channels // WIDTH, channels * NUMBER, of_keys.shape[1] * BYTES
    of_keys[:] = ZERO
    of_values[:] = ZERO
    key = told.k + image * told.k_image + head * told.k_head
    value = told.v + image * told.v_image + head * told.v_head
    for j in range(0, told.keys, KEYS):
        here = min(KEYS, told.keys - j)
        take(key + j * told.k_token, told.k_token, here, channels, keys.ctypes.data + j * row)
        take(value + j * told.v_token, told.v_token, here, channels, values.ctypes.data + j * row)
    q = told.q + image * told.q_image + head * told.q_head
    g = told.grad + image * told.grad_image + head * told.grad_head
    out = told.out + image * told.out_image + head * told.out_head
    exponents = told.exponents + (image * told.heads + head) * told.queries * NUMBER
    of_q = told.of_q + image * told.of_q_image + head * told.of_q_head
    for start in range(0, told.queries, QUERIES):
        count = min(QUERIES, told.queries - start)
        ask(told, q + start * told.q_token, g + start * told.grad_token, out + start * told.out_token,
            exponents + start * NUMBER, count, across, down, of_each)
        of_queries[:] = ZERO
        for j in range(0, told.keys, KEYS):
            here = min(KEYS, told.keys - j)
            rows = (here + WIDTH - 1) // WIDTH * WIDTH
            score(across[0].ctypes.data, keys.ctypes.data + j * row, here, channels, ZERO, scores.ctypes.data)
            score(across[1].ctypes.data, values.ctypes.data + j * row, here, channels, ZERO, slopes.ctypes.data)
            weigh_again(scores.ctypes.data, slopes.ctypes.data, here, of_each.ctypes.data)
            collect(scores.ctypes.data, rows, down[1].ctypes.data, slices, step, of_values.ctypes.data + j * BYTES)
            collect(slopes.ctypes.data, rows, down[0].ctypes.data, slices, step, of_keys.ctypes.data + j * BYTES)
            gather(slopes.ctypes.data, keys.ctypes.data + j * row, rows, channels, of_queries.ctypes.data)
        for i in range(count):
            y = carray(floats_at(of_q + (start + i) * told.of_q_token), channels)
            for c in range(channels):
                y[c] = of_queries[c, i]
    put(told.of_k + image * told.of_k_image + head * told.of_k_head, told.of_k_token, told.keys, of_keys)
    put(told.of_v + image * told.of_v_image + head * told.of_v_head, told.of_v_token, told.keys, of_values)


@loops
def share(told, thread, threads):
    """What a thread does: its share of all heads."""
    heads, channels = told.heads, told.channels
    slices, length = channels // WIDTH, (told.keys + KEYS - 1) // KEYS * KEYS
    keys, values = workspace(length, channels), workspace(length, channels)
    of_keys = workspace(slices * length, WIDTH).reshape(slices, length, WIDTH)
    of_values = workspace(slices * length, WIDTH).reshape(slices, length, WIDTH)
    across = workspace(2 * channels, QUERIES).reshape(2, channels, QUERIES)
    down = workspace(2 * slices * QUERIES, WIDTH).reshape(2, slices, QUERIES, WIDTH)
    of_each, of_queries = workspace(2, QUERIES), workspace(channels, QUERIES)
    scores, slopes = workspace(KEYS, QUERIES), workspace(KEYS, QUERIES)
    units = told.images * heads
    for unit in range(units * thread // threads, units * (thread + 1) // threads):
        differentiate(told, unit // heads, unit % heads, keys, values, of_keys, of_values, across, down, of_each,
                      scores, slopes, of_queries)


def compiled(keep: bool) -> Any:
    """:func:`share` as each thread calls it, with the address of ToldOfGradients; from disk where it is kept there."""
    version = version_of(__file__)

    def gradients(pointer):
        version  # noqa: B018
        share(carray(pointer, 1)[0], thread_number(), number_of_threads())

    return as_c(gradients, ToldOfGradients, keep)
