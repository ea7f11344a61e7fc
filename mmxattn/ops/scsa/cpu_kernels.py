"""SCSA as loops that Numba compiles for a CPU: the forward pass in single precision.

As operators one after another SCSA takes a CPU nine passes over its map, and forty times what an operator costs. Here
each thread takes its share of the channel groups from the means to the pooled map, one after another, so that a group
is still in its cache when it is read again (SQUEEZE); then, when all threads are there, its share of the channels
through attention and product (EXCITE). Where groups are too few to be shared evenly, the first part is three: MEANS,
GATES, POOL.

Names, for a map x (H, W) of one image and one channel, y the output:
    y = x a c g                 gates a of rows, c of columns, g of the channel; each is limit * sigmoid(logit)
    p = mean over windows of x a c
    n = GroupNorm(1, C)(p)      flat: (C, N)
    P_ij = softmax over j of s q_i k_j <n_i, n_j>    the product over the N pixels
    logit of g_i = sum over j of P_ij v_j <n_j>      the mean over pixels of P V is P times the means of V

Maps lie one after another as (B*C, H, W). What there is one of a row or a column, first means, then gates, lies with
the channels of a group innermost, (B*groups, H, C / groups): a convolution along seven rows then runs over many
channels at once, and not over seven numbers. So do the keys of the attention, (N, C).
"""
import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from ..compiled.functions import (
    POWER,
    as_c,
    floats_at,
    loops,
    number_of_threads,
    thread_number,
    version_of,
    whole_numbers_at,
)
from .kernel_args import EXCITE, GATES, MEANS, POOL, SQUEEZE, Told

__all__ = ['compiled']

LINES = 16  # of a cache, that are written to in turn

LOG2_E = np.float32(math.log2(math.e))
ONE, ZERO = np.float32(1), np.float32(0)


@intrinsic
def _power_of_two(typing: Any, exponent: Any) -> Any:
    """2**exponent of a whole float32 between -126 and 127: the exponent's bits, which is an instruction or two."""
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = ir.IntType(32)
        biased = builder.add(builder.fptosi(arguments[0], bits), bits(127))
        return builder.bitcast(builder.shl(biased, bits(23)), ir.FloatType())

    return types.float32(types.float32), build


@intrinsic
def _larger(typing: Any, a: Any, b: Any) -> Any:
    """max(a, b), whichever where one is not a number: Python's maximum is not found for many numbers at once."""
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = ir.FloatType()
        maximum = builder.module.declare_intrinsic('llvm.maxnum', (number, ),
                                                   ir.FunctionType(number, (number, number)))
        return builder.call(maximum, arguments, fastmath=('nnan', 'nsz'))

    return types.float32(types.float32, types.float32), build


@loops
def exp2(x):
    """2**x to rounding, within what float32 holds."""
    x = min(max(x, np.float32(-126)), np.float32(126))
    whole = np.floor(x + np.float32(0.5))
    rest = x - whole
    power = POWER[0]
    power = power * rest + POWER[1]
    power = power * rest + POWER[2]
    power = power * rest + POWER[3]
    power = power * rest + POWER[4]
    power = power * rest + POWER[5]
    power = power * rest + POWER[6]
    return power * _power_of_two(whole)


@loops
def floats(address, shape):
    return carray(floats_at(address), shape)


@loops
def parameter(told, index, shape):
    """One of the parameters, in the order of ``parameters_of``."""
    return floats(carray(whole_numbers_at(told.parameters), 2 * told.groups + 9)[index], shape)


@loops
def sequences(told):
    """What there is one of a row, and of a column: (B*groups, H, members), (B*groups, W, members)."""
    groups, members = told.batch * told.groups, told.channels // told.groups
    return (floats(told.rows, (groups, told.height, members)), floats(told.columns, (groups, told.width, members)))


@loops
def means(told, first, last):
    """Of the rows and of the columns of some channels (Eq. 1)."""
    height, width, members = told.height, told.width, told.channels // told.groups
    x = floats(told.x, (told.batch * told.channels, height, width))
    rows, columns = sequences(told)
    column = np.empty(width, np.float32)
    of_row, of_column = ONE / np.float32(width), ONE / np.float32(height)
    for channel in range(first, last):
        group, member = channel // members, channel % members
        for j in range(width):
            column[j] = ZERO
        for i in range(height):
            row = ZERO
            for j in range(width):
                pixel = x[channel, i, j]
                row += pixel
                column[j] += pixel
            rows[group, i, member] = row * of_row
        for j in range(width):
            columns[group, j, member] = column[j] * of_column


@loops
def gates(told, first, last):
    """Of the rows and of the columns of some channel groups, in the place of their means (Eq. 3 to 6)."""
    kernel_sizes = carray(whole_numbers_at(told.kernel_sizes), told.groups)
    rows, columns = sequences(told)
    for group in range(first, last):
        kernel_size = kernel_sizes[group % told.groups]
        gates_along(told, rows[group], group % told.groups, kernel_size, 2 * told.groups, told.eps_h)
        gates_along(told, columns[group], group % told.groups, kernel_size, 2 * told.groups + 2, told.eps_w)


@loops
def gates_along(told, sequence, group, kernel_size, norm, eps):
    """Means (length, members) of a channel group -> gates: a convolution, a norm of the group, a sigmoid."""
    length, members = sequence.shape
    weight, bias = parameter(told, group, (members, kernel_size)), parameter(told, told.groups + group, members)
    taps = np.empty((kernel_size, members), np.float32)
    for member in range(members):
        for tap in range(kernel_size):
            taps[tap, member] = weight[member, tap]
    convolved = np.empty((length, members), np.float32)
    total = ZERO
    for i in range(length):
        for member in range(members):
            convolved[i, member] = bias[member]
        ahead = i - kernel_size // 2
        for tap in range(max(0, -ahead), min(kernel_size, length - ahead)):
            for member in range(members):
                convolved[i, member] += taps[tap, member] * sequence[ahead + tap, member]
        for member in range(members):
            total += convolved[i, member]
    mean = total / np.float32(length * members)
    squares = ZERO
    for i in range(length):
        for member in range(members):
            squares += (convolved[i, member] - mean)**2
    deviation = np.sqrt(squares / np.float32(length * members) + eps)

    weight, bias = parameter(told, norm, told.channels), parameter(told, norm + 1, told.channels)
    scale, shift = np.empty(members, np.float32), np.empty(members, np.float32)  # to minus the logits, times log2(e)
    for member in range(members):
        scale[member] = -LOG2_E * weight[group * members + member] / deviation
        shift[member] = -LOG2_E * bias[group * members + member] - mean * scale[member]
    limit = told.limit
    for i in range(length):
        for member in range(members):
            sequence[i, member] = limit / (ONE + exp2(convolved[i, member] * scale[member] + shift[member]))


@loops
def pool(told, first, last):
    """The means over windows of some channels, gated by row and by column (Eq. 7 and 8)."""
    channels, height, width, members = told.channels, told.height, told.width, told.channels // told.groups
    x = floats(told.x, (told.batch * channels, height, width))
    pooled = floats(told.pooled, (told.batch * channels, told.down, told.across))
    rows, columns = sequences(told)
    column, column_gates = np.empty(width, np.float32), np.empty(width, np.float32)
    of_window = ONE / np.float32(told.window_height * told.window_width)
    for channel in range(first, last):
        group, member = channel // members, channel % members
        for j in range(width):
            column_gates[j] = columns[group, j, member] * of_window
        for d in range(told.down):
            for j in range(width):
                column[j] = ZERO
            for i in range(d * told.window_height, (d + 1) * told.window_height):
                row = rows[group, i, member]
                for j in range(width):
                    column[j] += x[channel, i, j] * row
            for a in range(told.across):  # rows share the gates of their columns, which can wait
                total = ZERO
                for j in range(a * told.window_width, (a + 1) * told.window_width):
                    total += column[j] * column_gates[j]
                pooled[channel, d, a] = total


@loops
def excite(told, first, last):
    """The output of some channels: the gates of the channels (Eq. 9 to 12), and the product with all three (Eq. 13)."""
    channels, height, width, members = told.channels, told.height, told.width, told.channels // told.groups
    maps, pixels = told.batch * channels, told.down * told.across
    x, y = floats(told.x, (maps, height, width)), floats(told.y, (maps, height, width))
    pooled = floats(told.pooled, (told.batch, channels, pixels))
    rows, columns = sequences(told)
    query = parameter(told, 2 * told.groups + 6, channels)
    keys, values = np.empty((pixels, channels), np.float32), np.empty(channels, np.float32)
    scale, shift = np.empty(channels, np.float32), np.empty(channels, np.float32)
    asking, scores = np.empty(pixels, np.float32), np.empty(channels, np.float32)
    column = np.empty(width, np.float32)
    to_scores = LOG2_E / np.sqrt(np.float32(channels))
    seen = -1
    for m in range(first, last):
        image, channel, group, member = m // channels, m % channels, m // members, m % members
        if image != seen:
            standardize(told, pooled[image], scale, shift, keys, values)
            seen = image
        factor = query[channel] * to_scores
        for pixel in range(pixels):
            asking[pixel] = (pooled[image, channel, pixel] * scale[channel] + shift[channel]) * factor
        products(asking, keys, scores)
        gate = told.limit / (ONE + exp2(-LOG2_E * answer(scores, values)))
        for j in range(width):
            column[j] = columns[group, j, member] * gate
        for i in range(height):
            row = rows[group, i, member]
            if told.y == told.x:  # otherwise LLVM sees that the two overlap, and takes one number after another
                for j in range(width):
                    y[m, i, j] = y[m, i, j] * row * column[j]
            else:
                for j in range(width):
                    y[m, i, j] = x[m, i, j] * row * column[j]


@loops
def standardize(told, pooled, scale, shift, keys, values):
    """What is asked of an image: pooled (C, N) -> keys (N, C) and the means of values (C,); and the norm's affine."""
    channels, pixels = pooled.shape
    first = 2 * told.groups + 4
    weight, bias = parameter(told, first, channels), parameter(told, first + 1, channels)
    key, value = parameter(told, first + 3, channels), parameter(told, first + 4, channels)
    total, squares = ZERO, ZERO
    for channel in range(channels):
        for pixel in range(pixels):
            total += pooled[channel, pixel]
    mean = total / np.float32(channels * pixels)
    for channel in range(channels):
        for pixel in range(pixels):
            squares += (pooled[channel, pixel] - mean)**2
    deviation = np.sqrt(squares / np.float32(channels * pixels) + told.eps)
    for channel in range(channels):
        scale[channel] = weight[channel] / deviation
        shift[channel] = bias[channel] - mean * scale[channel]
        values[channel] = ZERO
    for block in range(0, pixels, LINES):  # few enough that what is written column by column stays in the cache
        for channel in range(channels):
            for pixel in range(block, min(block + LINES, pixels)):
                normed = pooled[channel, pixel] * scale[channel] + shift[channel]
                keys[pixel, channel] = normed * key[channel]
                values[channel] += normed
    for channel in range(channels):
        values[channel] *= value[channel] / np.float32(pixels)


@loops
def products(asking, keys, scores):
    """asking (N,), keys (N, C) -> scores (C,): four pixels at a time, so that scores are not stored for each."""
    pixels, channels = keys.shape
    left = pixels % 4
    for j in range(channels):
        scores[j] = ZERO
    for pixel in range(left):
        for j in range(channels):
            scores[j] += asking[pixel] * keys[pixel, j]
    for pixel in range(left, pixels, 4):
        a, b, c, d = asking[pixel], asking[pixel + 1], asking[pixel + 2], asking[pixel + 3]
        for j in range(channels):
            scores[j] += (a * keys[pixel, j] + b * keys[pixel + 1, j]
                          + c * keys[pixel + 2, j] + d * keys[pixel + 3, j])


@loops
def answer(scores, values):
    """The values' mean, weighted by the softmax of the scores, which are in base 2."""
    largest = scores[0]
    for j in range(scores.shape[0]):
        largest = _larger(largest, scores[j])
    weights, weighted = ZERO, ZERO
    for j in range(scores.shape[0]):
        weight = exp2(scores[j] - largest)
        weights += weight
        weighted += weight * values[j]
    return weighted / weights


@loops
def share(told, thread, threads):
    """What a thread does: its share, of channels or of channel groups."""
    stage, members = told.stage, told.channels // told.groups
    unit = members if stage == SQUEEZE or stage == GATES else 1
    units = told.batch * told.channels // unit
    first, last = units * thread // threads * unit, units * (thread + 1) // threads * unit
    step = members if stage == SQUEEZE else max(1, last - first)
    for channel in range(first, last, step):
        if stage == SQUEEZE or stage == MEANS:
            means(told, channel, channel + step)
        if stage == SQUEEZE or stage == GATES:
            gates(told, channel // members, (channel + step) // members)
        if stage == SQUEEZE or stage == POOL:
            pool(told, channel, channel + step)
        if stage == EXCITE:
            excite(told, channel, channel + step)


def compiled(keep: bool) -> Any:
    """:func:`share` as each thread calls it, with the address of Told; from disk where it is kept there."""
    version = version_of(__file__)

    def scsa(pointer):
        version  # noqa: B018
        share(carray(pointer, 1)[0], thread_number(), number_of_threads())

    return as_c(scsa, Told, keep)
