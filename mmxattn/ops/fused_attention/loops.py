"""Softmax attention as loops that Numba compiles for a CPU, in single precision.

A thread takes one head's queries, 64 at a time, and of the keys as many. With the queries along a register, or along
several, nothing is summed up across one: scores S (keys, queries) and output O (channels, queries) are

    S_j = sum over c of k_jc Q_c        Q (channels, queries), scaled
    P_j = exp(S_j - m)                  m the largest score so far of each query, and O is scaled down as m grows
    O_c = sum over j of v_jc P_j

Both sums are :func:`multiply_add` over sixteen rows. All of it lies in the first two caches.
"""
import math
from typing import Any

import numpy as np
from numba import carray

from ..compiled.functions import as_c, floats_at, loops, number_of_threads, thread_number, version_of
from ..compiled.lanes import BYTES, WIDTH, exp2, larger, load, multiply_add, spread, store
from .told import QUERIES, Told

__all__ = ['compiled']

COUNT = QUERIES // WIDTH  # registers
ROW = COUNT * BYTES  # of what has a number for each query
ROWS = 4  # of a tile of sums, each of COUNT registers
KEYS = 64
NUMBER = 4  # bytes

ZERO, ONE, LOWEST = np.float32(0), np.float32(1), np.float32(-np.inf)


@loops
def workspace(rows, columns):
    """An array that begins where a line of the cache does."""
    memory = np.empty(rows * columns + WIDTH, np.float32)
    skipped = -memory.ctypes.data % BYTES // NUMBER
    return memory[skipped:skipped + rows * columns].reshape(rows, columns)


@loops
def take(source, token, count, channels, into):
    """Some tokens of a head -> (KEYS, channels), filled up with zeros."""
    row = channels * NUMBER
    for j in range(count):
        for c in range(0, row, BYTES):
            store(into + j * row + c, load(source + j * token + c))
    for c in range(count * row, KEYS * row, BYTES):
        store(into + c, spread(ZERO))


@loops
def score(queries, keys, count, channels, missing, scores):
    """S of all keys, and a number for those that there are not."""
    row = channels * NUMBER
    for j in range(0, count, ROWS):
        multiply_add(scores + j * ROW, keys + j * row, row, NUMBER, queries, ROWS, COUNT, True)
        for c in range(WIDTH, channels, WIDTH):
            multiply_add(scores + j * ROW, keys + j * row + c * NUMBER, row, NUMBER, queries + c * ROW, ROWS, COUNT,
                         False)
    for offset in range(count * ROW, KEYS * ROW, BYTES):
        store(scores + offset, spread(missing))


@loops
def weigh(scores, count, channels, out, largest, total):
    """P in the place of S, and what there was before scaled down."""
    last = scores + count * ROW
    for lane in range(0, ROW, BYTES):
        before, a = load(largest + lane), load(scores + lane)
        b, c, d = load(scores + lane + ROW), load(scores + lane + 2 * ROW), load(scores + lane + 3 * ROW)
        for place in range(scores + lane + 4 * ROW, last, 4 * ROW):
            a, b = larger(a, load(place)), larger(b, load(place + ROW))
            c, d = larger(c, load(place + 2 * ROW)), larger(d, load(place + 3 * ROW))
        now = larger(larger(a, b), larger(larger(c, d), before))
        store(largest + lane, now)
        less = exp2(before - now)
        for place in range(out + lane, out + channels * ROW, ROW):
            store(place, less * load(place))
        a, b = less * load(total + lane), spread(ZERO)
        for place in range(scores + lane, last, 2 * ROW):
            weight, other = exp2(load(place) - now), exp2(load(place + ROW) - now)
            store(place, weight)
            store(place + ROW, other)
            a, b = a + weight, b + other
        store(total + lane, a + b)


@loops
def gather(weights, values, count, channels, out):
    """O, with these keys."""
    row = channels * NUMBER
    for j in range(0, count, WIDTH):
        for c in range(0, channels, ROWS):
            multiply_add(out + c * ROW, values + j * row + c * NUMBER, NUMBER, row, weights + j * ROW, ROWS, COUNT,
                         False)


@loops
def ask(told, place, count, queries):
    """Q of some queries; of those that there are not, the last one's."""
    for i in range(QUERIES):
        q = carray(floats_at(place + min(i, count - 1) * told.q_token), told.channels)
        for c in range(told.channels):
            queries[c, i] = q[c] * told.scale


@loops
def answer(told, place, count, out, total):
    """Some queries' output, to its place."""
    for i in range(count):
        y, share = carray(floats_at(place + i * told.out_token), told.channels), ONE / total[i]
        for c in range(told.channels):
            y[c] = out[c, i] * share


@loops
def tell(place, count, largest, total):
    """What gradients find P by again: of each of some queries the x for which exp2(S - x) sums to one."""
    x = carray(floats_at(place), count)
    for i in range(count):
        x[i] = largest[i] + math.log2(total[i])


@loops
def attend(told, image, head, first, last, queries, keys, values, scores, out, largest, total):
    """The output of some queries of a head, as many at a time as there is room for in the arrays."""
    channels, blocks = told.channels, (last - first + QUERIES - 1) // QUERIES
    place = told.q + image * told.q_image + head * told.q_head
    for b in range(blocks):
        start = first + b * QUERIES
        ask(told, place + start * told.q_token, min(QUERIES, last - start), queries[b])
    largest[:] = LOWEST
    total[:] = ZERO
    out[:] = ZERO
    key = told.k + image * told.k_image + head * told.k_head
    value = told.v + image * told.v_image + head * told.v_head
    for j in range(0, told.keys, KEYS):
        here = min(KEYS, told.keys - j)
        rows = (here + WIDTH - 1) // WIDTH * WIDTH
        take(key + j * told.k_token, told.k_token, here, channels, keys.ctypes.data)
        take(value + j * told.v_token, told.v_token, here, channels, values.ctypes.data)
        for b in range(blocks):
            score(queries[b].ctypes.data, keys.ctypes.data, here, channels, LOWEST, scores.ctypes.data)
            weigh(scores.ctypes.data, rows, channels, out[b].ctypes.data, largest[b].ctypes.data, total[b].ctypes.data)
            gather(scores.ctypes.data, values.ctypes.data, rows, channels, out[b].ctypes.data)
    place = told.out + image * told.out_image + head * told.out_head
    for b in range(blocks):
        start = first + b * QUERIES
        count = min(QUERIES, last - start)
        answer(told, place + start * told.out_token, count, out[b], total[b])
        if told.exponents:
            query = (image * told.heads + head) * told.queries + start
            tell(told.exponents + query * NUMBER, count, largest[b], total[b])


@loops
def share(told, thread, threads):
    """What a thread does: its share of all heads' queries."""
    heads, channels, together = told.heads, told.channels, told.together
    queries = workspace(together * channels, QUERIES).reshape(together, channels, QUERIES)
    out = workspace(together * channels, QUERIES).reshape(together, channels, QUERIES)
    keys, values, scores = workspace(KEYS, channels), workspace(KEYS, channels), workspace(KEYS, QUERIES)
    largest, total = workspace(together, QUERIES), workspace(together, QUERIES)
    step = together * QUERIES
    blocks = (told.queries + step - 1) // step
    units = told.images * heads * blocks
    for unit in range(units * thread // threads, units * (thread + 1) // threads):
        image, head, first = unit // (heads * blocks), unit // blocks % heads, unit % blocks * step
        attend(told, image, head, first, min(first + step, told.queries), queries, keys, values, scores, out, largest,
               total)


def compiled(keep: bool) -> Any:
    """:func:`share` as each thread calls it, with the address of Told; from disk where it is kept there."""
    version = version_of(__file__)

    def attention(pointer):
        version  # noqa: B018
        share(carray(pointer, 1)[0], thread_number(), number_of_threads())

    return as_c(attention, Told, keep)
