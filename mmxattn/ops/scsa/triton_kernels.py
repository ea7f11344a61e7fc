"""SCSA as Triton kernels: each goes over a map once, or over nothing of a map's size.

Four passes over x make the output (x is read for its means, for the pooled gated map and for the product, which is
written), and five more the gradients (x and the output's gradient are read for the sums behind the gates' gradients; x
for what the pooled map adds to them; the output's gradient for x's, which is written). No form needs fewer.

Names, for a map x (H, W) of one image and one channel, y the output:
    y = x a c g                 gates a of rows, c of columns, g of the channel; each is LIMIT * sigmoid(logit)
    p = mean over windows of x a c
    n = GroupNorm(1, C)(p)      flat: (C, N)
    D_ij = <n_i, n_j>           over the N pixels
    P_ij = softmax over j of s q_i k_j D_ij
    logit of g_i = sum over j of P_ij v_j <n_j>      the mean over pixels of P V is P times the means of V

Maps lie one after another as (B*C, H, W). What there is one of a row and a column, means and gates, are lines:
(B*C, H + W), rows first. All is summed in WIDE, float32 at least. Neither sizes nor addresses are compiled in, but for
powers of two that hold the sizes, BH, BW, BC, ..., and for V, the pixels that are loaded at once, a divisor of W: most
other sizes of images compile nothing anew.

``kept`` and ``work`` are one allocation each, for allocations take as long as launches. What is ``kept`` for backward:
    normed       lines          what the norms of rows and columns give, before their weights
    pooled       (B*C, N)       p
    averages     (B*C, )        <n_i>
    normalizers  (B*C, )        log2 of the sum that the softmax of i divides by
    logits       (B*C, )        of g
    statistics   (B, STATS)     mean and deviation of the image's p; deviations of each channel group's rows and columns
``work`` holds lines of means and of gates. Then, forward, what is known of each part of an image's p, (B, parts, 3):
how many numbers, their mean, the squares of what they differ from it. Backward, more lines: sums (over columns of
x G c, over rows of x G a, G the gradient of y) and gradients to gates and to means; then gradients to the logits of g,
to n, and to p: those divided by the pixels of a window, with a copy for each of its columns, (B*C, H // h, W). At its
end, of few pixels, n and the means of values, (B, N + 1, C).
"""
# The signatures are Triton's. What is annotated is compiled in.
import math

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_wait

__all__ = ['add_gradients', 'attend', 'attend_backward', 'gate', 'gate_gradients', 'gates', 'gates_backward',
           'map_means', 'map_sums', 'pool', 'squeeze']

SIZES = ['maps', 'channels', 'height', 'width', 'pixels', 'down', 'across', 'window_height', 'window_width',
         'parts', 'k0', 'k1', 'k2', 'k3']
ADDRESSES = ['x', 'y', 'grad', 'of_x', 'kept', 'work', 'shares', 'w0', 'w1', 'w2', 'w3', 'b0', 'b1', 'b2', 'b3',
             'weight_h', 'bias_h', 'weight_w', 'bias_w', 'weight', 'bias', 'q', 'k', 'v']
LOWEST = tl.constexpr(-3e38)  # below any score, and finite: minus itself it is 0
LOG2E = tl.constexpr(math.log2(math.e))  # powers of two are an instruction, and those of e are not
kernel = triton.jit(do_not_specialize=SIZES + ADDRESSES)


@triton.jit
def _begin(EARLY: tl.constexpr):
    """First of all, a kernel that is launched before the one ahead has ended waits for what that writes."""
    if EARLY:
        gdc_wait()


@triton.jit
def _gate(logits, LIMIT: tl.constexpr):
    return LIMIT / (1 + tl.exp(-logits))


@triton.jit
def _maps(maps, width, M: tl.constexpr, V: tl.constexpr):
    """The maps of this program, which there are, and their width, of which Triton then knows that V divides it."""
    m = tl.program_id(0) * M + tl.arange(0, M)
    return m, m < maps, width // V * V


@triton.jit
def _pixels(x, m, h, w, height, width, V: tl.constexpr):
    """Addresses of pixels (M, BH, BW); a batch of maps may be longer than 32 bits tell, but not a map."""
    first = x + m.to(tl.int64) * (height * width)
    first = tl.multiple_of(first, [V * x.dtype.element_ty.primitive_bitwidth // 8])
    return first[:, None, None] + (h[None, :, None] * width + w[None, None, :])


@triton.jit
def _kept(kept, maps, lines, pixels):
    """Where things begin in ``kept``, after normed: pooled, averages, normalizers, logits, statistics."""
    pooled = kept + lines
    averages = pooled + maps * pixels
    return pooled, averages, averages + maps, averages + 2 * maps, averages + 3 * maps


@triton.jit
def _work(work, maps, lines, pixels):
    """Where things begin in ``work``: gates, sums, gradients to gates, to means, to logits, to n, to p."""
    of_logits = work + 5 * lines
    of_normed = of_logits + maps
    return (work + lines, work + 2 * lines, work + 3 * lines, work + 4 * lines, of_logits, of_normed,
            of_normed + maps * pixels)


@triton.jit
def _store_means(x, work, m, here, height, width,
                 M: tl.constexpr, BH: tl.constexpr, BW: tl.constexpr, V: tl.constexpr, WIDE: tl.constexpr):
    """Eq. 1: means of rows and of columns."""
    w = tl.arange(0, BW)
    line = work + m * (height + width)
    columns = tl.zeros([M, BW], WIDE)
    for first in range(0, height, BH):
        h = first + tl.arange(0, BH)
        rows = here[:, None] & (h < height)[None, :]
        v = tl.load(_pixels(x, m, h, w, height, width, V), mask=rows[:, :, None] & (w < width)[None, None, :],
                    other=0).to(WIDE)
        tl.store(line[:, None] + h[None, :], tl.sum(v, 2) / width, mask=rows)
        columns += tl.sum(v, 1)
    tl.store(line[:, None] + height + w[None, :], columns / height, mask=here[:, None] & (w < width)[None, :])


@triton.jit
def _of_group(group, of0, of1, of2, of3):
    """What there is of each channel group, of one."""
    chosen = of0
    if group == 1:
        chosen = of1
    if group == 2:
        chosen = of2
    if group == 3:
        chosen = of3
    return chosen


@triton.jit
def _channels(weight, bias, c, inside, WIDE: tl.constexpr):
    """What there is of two parameters, of channels."""
    return tl.load(weight + c, mask=inside, other=0).to(WIDE), tl.load(bias + c, mask=inside, other=0).to(WIDE)


@triton.jit
def _store_gates(kept, work, w0, w1, w2, w3, b0, b1, b2, b3, weight_h, bias_h, weight_w, bias_w, b, group, axis,
                 maps, channels, height, width, pixels, k0, k1, k2, k3, GROUPS: tl.constexpr, TAPS: tl.constexpr,
                 EPS_H: tl.constexpr, EPS_W: tl.constexpr, LIMIT: tl.constexpr, STATS: tl.constexpr,
                 BC: tl.constexpr, BL: tl.constexpr, WIDE: tl.constexpr):
    """Eq. 3 to 6, one image and channel group: convolution, group norm, gates.

    ``axis`` is a list: 0 of rows, 1 of columns, or both.
    """
    weights, biases = _of_group(group, w0, w1, w2, w3), _of_group(group, b0, b1, b2, b3)
    size = _of_group(group, k0, k1, k2, k3)
    lines, members = maps * (height + width), channels // GROUPS
    _, _, _, _, statistics = _kept(kept, maps, lines, pixels)
    c, at, length = tl.arange(0, BC), tl.arange(0, BL), tl.where(axis == 0, height, width)
    member, channel = c < members, group * members + c
    inside = member[:, None, None] & (at[None, :] < length[:, None])[None, :, :]
    place = (axis * height)[:, None] + at[None, :]
    place = ((b * channels + channel) * (height + width))[:, None, None] + place[None, :, :]
    z = tl.zeros_like(inside).to(WIDE) + tl.load(biases + c, mask=member, other=0).to(WIDE)[:, None, None]
    for tap in tl.static_range(TAPS):
        shifted, has_tap = (at + tap - size // 2)[None, :], c < tl.where(size > tap, members, 0)
        there = (shifted >= 0) & (shifted < length[:, None])
        v = tl.load(work + place + tap - size // 2, mask=has_tap[:, None, None] & there[None, :, :], other=0)
        z += tl.load(weights + c * size + tap, mask=has_tap, other=0).to(WIDE)[:, None, None] * v
    mean = tl.sum(tl.sum(tl.where(inside, z, 0), 2), 0) / (members * length)
    z = tl.where(inside, z - mean[None, :, None], 0)
    eps = tl.where(axis == 0, tl.full(axis.shape, EPS_H, WIDE), tl.full(axis.shape, EPS_W, WIDE))
    deviation = tl.sqrt(tl.sum(tl.sum(z * z, 2), 0) / (members * length) + eps)
    z /= deviation[None, :, None]
    tl.store(statistics + b * STATS + 2 + group * 2 + axis, deviation)
    tl.store(kept + place, z, mask=inside)
    own_weight_h, own_bias_h = _channels(weight_h, bias_h, channel, member, WIDE)
    own_weight_w, own_bias_w = _channels(weight_w, bias_w, channel, member, WIDE)
    z *= tl.where((axis == 0)[None, :], own_weight_h[:, None], own_weight_w[:, None])[:, :, None]
    z += tl.where((axis == 0)[None, :], own_bias_h[:, None], own_bias_w[:, None])[:, :, None]
    tl.store(work + lines + place, _gate(z, LIMIT), mask=inside)


@triton.jit
def _store_pooled(x, kept, work, b, first, last, part, parts, maps, channels, height, width, down, across,
                  window_height, window_width, KH: tl.constexpr, KW: tl.constexpr, BA: tl.constexpr, BP: tl.constexpr,
                  WIDE: tl.constexpr):
    """Eq. 7 and 8: the mean of each window of the map gated by row and column; down * across windows a map.

    BP bands of rows of an image, a window high, of those before ``last``. Columns are taken by windows, so that they
    can be told apart once rows are summed. And, for the norm that follows, how many numbers these are, their mean, and
    the squares of what they differ from it.
    """
    band = first + tl.arange(0, BP)
    m, i = b * channels + band // down, band % down
    here, lines = band < last, maps * (height + width)
    u, at = tl.arange(0, KH), tl.arange(0, BA * KW)
    h, w = i[:, None] * window_height + u[None, :], at // KW * window_width + at % KW
    rows = here[:, None] & (u < window_height)[None, :]
    columns = here[:, None] & ((at // KW < across) & (at % KW < window_width))[None, :]
    place = (x + m.to(tl.int64) * (height * width))[:, None, None] + ((h * width)[:, :, None] + w[None, None, :])
    values = tl.load(place, mask=rows[:, :, None] & columns[:, None, :], other=0).to(WIDE)
    line = work + lines + (m * (height + width))[:, None]
    of_row = tl.load(line + h, mask=rows, other=0)
    of_column = tl.load(line + height + w[None, :], mask=columns, other=0)
    total = tl.reshape(tl.sum(values * of_row[:, :, None], 1) * of_column, [BP, BA, KW])
    pooled = tl.sum(total, 2) / (window_height * window_width)
    j = tl.arange(0, BA)
    inside = here[:, None] & (j < across)[None, :]
    tl.store(kept + lines + (b * channels * down + band)[:, None] * across + j[None, :], pooled, mask=inside)
    count = tl.minimum(last - first, BP) * across
    mean = tl.sum(pooled) / count
    differences = tl.where(inside, pooled - mean, 0)
    place = work + 2 * lines + (b * parts + part) * 3
    tl.store(place, count.to(WIDE))
    tl.store(place + 1, mean)
    tl.store(place + 2, tl.sum(differences * differences))


@kernel
def map_means(x, work, maps, height, width,
              M: tl.constexpr, BH: tl.constexpr, BW: tl.constexpr, V: tl.constexpr, WIDE: tl.constexpr,
              EARLY: tl.constexpr):
    """Eq. 1, M maps."""
    _begin(EARLY)
    m, here, width = _maps(maps, width, M, V)
    _store_means(x, work, m, here, height, width, M, BH, BW, V, WIDE)


@kernel
def gates(kept, work, w0, w1, w2, w3, b0, b1, b2, b3, weight_h, bias_h, weight_w, bias_w,
          maps, channels, height, width, pixels, k0, k1, k2, k3, GROUPS: tl.constexpr, TAPS: tl.constexpr,
          EPS_H: tl.constexpr, EPS_W: tl.constexpr, LIMIT: tl.constexpr, STATS: tl.constexpr,
          BC: tl.constexpr, BL: tl.constexpr, WIDE: tl.constexpr, EARLY: tl.constexpr):
    """Eq. 3 to 6, one image, channel group and axis."""
    _begin(EARLY)
    _store_gates(kept, work, w0, w1, w2, w3, b0, b1, b2, b3, weight_h, bias_h, weight_w, bias_w, tl.program_id(0),
                 tl.program_id(1), tl.program_id(2) + tl.arange(0, 1), maps, channels, height, width, pixels,
                 k0, k1, k2, k3, GROUPS, TAPS, EPS_H, EPS_W, LIMIT, STATS, BC, BL, WIDE)


@kernel
def pool(x, kept, work, maps, channels, height, width, down, across, window_height, window_width, parts,
         KH: tl.constexpr, KW: tl.constexpr, BA: tl.constexpr, BP: tl.constexpr, WIDE: tl.constexpr,
         EARLY: tl.constexpr):
    """Eq. 7 and 8, BP bands of an image."""
    _begin(EARLY)
    part = tl.program_id(0)
    _store_pooled(x, kept, work, tl.program_id(1), part * BP, channels * down, part, parts, maps, channels, height,
                  width, down, across, window_height, window_width, KH, KW, BA, BP, WIDE)


@kernel
def squeeze(x, kept, work, w0, w1, w2, w3, b0, b1, b2, b3, weight_h, bias_h, weight_w, bias_w,
            maps, channels, height, width, down, across, window_height, window_width, parts, k0, k1, k2, k3,
            GROUPS: tl.constexpr, TAPS: tl.constexpr, EPS_H: tl.constexpr, EPS_W: tl.constexpr, LIMIT: tl.constexpr,
            STATS: tl.constexpr, M: tl.constexpr, BH: tl.constexpr, BW: tl.constexpr, V: tl.constexpr,
            BC: tl.constexpr, BL: tl.constexpr,
            KH: tl.constexpr, KW: tl.constexpr, BA: tl.constexpr, BP: tl.constexpr, WIDE: tl.constexpr,
            EARLY: tl.constexpr):
    """Eq. 1 to 8, one image and channel group: :func:`map_means`, :func:`gates` and :func:`pool` at once."""
    _begin(EARLY)
    b, group = tl.program_id(0), tl.program_id(1)
    members, even = channels // GROUPS, width // V * V
    for first in range(0, members, M):
        c = first + tl.arange(0, M)
        _store_means(x, work, b * channels + group * members + c, c < members, height, even, M, BH, BW, V, WIDE)
    tl.debug_barrier()  # what one thread has stored others load
    _store_gates(kept, work, w0, w1, w2, w3, b0, b1, b2, b3, weight_h, bias_h, weight_w, bias_w, b, group,
                 tl.arange(0, 2), maps, channels, height, width, down * across, k0, k1, k2, k3,
                 GROUPS, TAPS, EPS_H, EPS_W, LIMIT, STATS, BC, BL, WIDE)
    tl.debug_barrier()
    bands, own_parts = members * down, parts // GROUPS
    for part in range(own_parts):
        _store_pooled(x, kept, work, b, group * bands + part * BP, (group + 1) * bands, group * own_parts + part, parts,
                      maps, channels, height, width, down, across, window_height, window_width, KH, KW, BA, BP, WIDE)


@triton.jit
def _standardized(pooled, c, inside, first, pixels, mean, deviation, BN: tl.constexpr):
    """What the norm before the attention gives before its weight: (BC, BN); 0 beyond the last pixel."""
    at = first + tl.arange(0, BN)
    values = tl.load(pooled + c[:, None] * pixels + at[None, :], mask=inside[:, None] & (at < pixels)[None, :],
                     other=mean)
    return (values - mean) / deviation


@triton.jit
def _normed(z, weight, bias, first, pixels, BN: tl.constexpr):
    """n, of :func:`_standardized`; 0 beyond the last pixel."""
    inside = first + tl.arange(0, BN) < pixels
    return tl.where(inside[None, :], z * weight[:, None] + bias[:, None], 0)


@triton.jit
def _dots(pooled, i, inside_i, weight_i, bias_i, j, inside_j, weight_j, bias_j, pixels, mean, deviation,
          BI: tl.constexpr, BJ: tl.constexpr, BN: tl.constexpr, WIDE: tl.constexpr):
    """D_ij, (BI, BJ), by products of matrices, BN pixels at once; and sums of j over pixels, before the weight."""
    dots, sums_j = tl.zeros([BI, BJ], WIDE), tl.zeros([BJ], WIDE)
    for first in range(0, pixels, BN):
        z_j = _standardized(pooled, j, inside_j, first, pixels, mean, deviation, BN)
        n_i = _normed(_standardized(pooled, i, inside_i, first, pixels, mean, deviation, BN), weight_i, bias_i, first,
                      pixels, BN)
        n_j = _normed(z_j, weight_j, bias_j, first, pixels, BN)
        dots = tl.dot(n_i, tl.trans(n_j), dots, input_precision='tf32x3', out_dtype=WIDE)
        sums_j += tl.sum(z_j, 1)
    return dots, sums_j


@triton.jit
def _mean_and_deviation(parts_of, parts, number, EPS: tl.constexpr, BF: tl.constexpr, WIDE: tl.constexpr):
    """Of a pooled image, by what :func:`_store_pooled` tells of its parts."""
    at = tl.arange(0, BF)
    sums, squares = tl.zeros([BF], WIDE), tl.zeros([BF], WIDE)
    for first in range(0, parts, BF):
        place, there = parts_of + (first + at) * 3, first + at < parts
        sums += tl.load(place, mask=there, other=0) * tl.load(place + 1, mask=there, other=0)
    mean = tl.sum(sums) / number
    for first in range(0, parts, BF):
        place, there = parts_of + (first + at) * 3, first + at < parts
        difference = tl.load(place + 1, mask=there, other=0) - mean
        squares += tl.load(place + 2, mask=there, other=0)
        squares += tl.load(place, mask=there, other=0) * difference * difference
    return mean, tl.sqrt(tl.sum(squares) / number + EPS)


@triton.jit
def _make_ready(pooled, normed, averages, weight, bias, v, channels, pixels, mean, deviation,
                BC: tl.constexpr, BN: tl.constexpr, WIDE: tl.constexpr):
    """For few pixels: n of an image, by pixels, then the means of its values. All programs of an image write the same.

    And the means over pixels that are kept.
    """
    c = tl.arange(0, BC)
    weight_c, bias_c = _channels(weight, bias, c, c < channels, WIDE)
    average = tl.zeros([BC], WIDE)
    for n in tl.static_range(BN):
        there = c < tl.where(pixels > n, channels, 0)
        z = (tl.load(pooled + c * pixels + n, mask=there, other=0) - mean) / deviation * weight_c + bias_c
        average += tl.where(there, z, 0)
        tl.store(normed + n * channels + c, z, mask=there)
    average /= pixels
    tl.store(averages + c, average, mask=c < channels)
    tl.store(normed + pixels * channels + c, tl.load(v + c, mask=c < channels, other=0).to(WIDE) * average,
             mask=c < channels)
    tl.debug_barrier()  # what one thread has stored others load


@triton.jit
def _ask_by_pixel(pooled, normed, averages, weight, bias, q, k, v, i, channels, pixels, mean, deviation,
                  SCALE: tl.constexpr, BI: tl.constexpr, BJ: tl.constexpr, BS: tl.constexpr, BC: tl.constexpr,
                  BN: tl.constexpr, WIDE: tl.constexpr):
    """Softmax and what it weighs, of channels i: (BI, ) log2 of its sums, and means of values. For few pixels.

    Each thread has one i, and goes over the j of one slot of BS, so that nothing is summed up across threads before the
    end.
    """
    _make_ready(pooled, normed, averages, weight, bias, v, channels, pixels, mean, deviation, BC, BN, WIDE)
    values = normed + pixels * channels
    q_i = tl.load(q + i, mask=i < channels, other=0).to(WIDE) * (SCALE * LOG2E)
    slots, steps = tl.arange(0, BS), tl.arange(0, BJ) * BS
    largest, weights, sums = tl.full([BS, BI], LOWEST, WIDE), tl.zeros([BS, BI], WIDE), tl.zeros([BS, BI], WIDE)
    for start in range(0, channels, BJ * BS):
        j = start + steps[:, None] + slots[None, :]
        k_j = tl.load(k + j, mask=j < channels, other=0).to(WIDE)
        scores = tl.zeros([BJ, BS, BI], WIDE) + tl.where(j < channels, 0, float('-inf'))[:, :, None]
        for n in tl.static_range(BN):
            those = tl.where(pixels > n, channels, 0)
            query = tl.load(normed + n * channels + i, mask=i < those, other=0) * q_i
            asked = tl.load(normed + n * channels + j, mask=j < those, other=0) * k_j
            scores += query[None, None, :] * asked[:, :, None]
        value = tl.load(values + j, mask=j < channels, other=0)
        larger = tl.maximum(largest, tl.max(scores, 0))
        e, shrunk = tl.exp2(scores - larger[None, :, :]), tl.exp2(largest - larger)
        weights = weights * shrunk + tl.sum(e, 0)
        sums = sums * shrunk + tl.sum(e * value[:, :, None], 0)
        largest = larger
    of_all = tl.max(largest, 0)
    shrunk = tl.exp2(largest - of_all[None, :])
    total = tl.sum(weights * shrunk, 0)
    return of_all + tl.log2(total), tl.sum(sums * shrunk, 0) / total


@triton.jit
def _ask_by_product(pooled, averages, weight, bias, q, k, v, i, channels, pixels, mean, deviation,
                    SCALE: tl.constexpr, BI: tl.constexpr, BJ: tl.constexpr, BN: tl.constexpr, WIDE: tl.constexpr):
    """As :func:`_ask_by_pixel`, by products of matrices, BN pixels and BJ channels that are asked at once."""
    inside_i = i < channels
    weight_i, bias_i = _channels(weight, bias, i, inside_i, WIDE)
    q_i = tl.load(q + i, mask=inside_i, other=0).to(WIDE) * (SCALE * LOG2E)
    largest, weights, sums = tl.full([BI], LOWEST, WIDE), tl.zeros([BI], WIDE), tl.zeros([BI], WIDE)
    for start in range(0, channels, BJ):
        j = start + tl.arange(0, BJ)
        inside_j = j < channels
        weight_j, bias_j = _channels(weight, bias, j, inside_j, WIDE)
        k_j, v_j = _channels(k, v, j, inside_j, WIDE)
        scores, sums_j = _dots(pooled, i, inside_i, weight_i * q_i, bias_i * q_i, j, inside_j, weight_j * k_j,
                               bias_j * k_j, pixels, mean, deviation, BI, BJ, BN, WIDE)
        average = sums_j / pixels * weight_j + bias_j
        tl.store(averages + j, average, mask=inside_j)  # all programs of an image store the same
        scores += tl.where(inside_j, 0, float('-inf'))[None, :]
        larger = tl.maximum(largest, tl.max(scores, 1))
        e, shrunk = tl.exp2(scores - larger[:, None]), tl.exp2(largest - larger)
        weights = weights * shrunk + tl.sum(e, 1)
        sums = sums * shrunk + tl.sum(e * (v_j * average)[None, :], 1)
        largest = larger
    return largest + tl.log2(weights), sums / weights


@kernel
def attend(kept, work, weight, bias, q, k, v, maps, channels, height, width, pixels, parts, SCALE: tl.constexpr,
           EPS: tl.constexpr, STATS: tl.constexpr, BI: tl.constexpr, BJ: tl.constexpr, BS: tl.constexpr,
           BC: tl.constexpr, BN: tl.constexpr, BF: tl.constexpr, WIDE: tl.constexpr, EARLY: tl.constexpr):
    """Eq. 9 to 12, BI channels of an image: norm, attention between channels, the mean over pixels.

    BS slots by pixels; 0: by products.
    """
    _begin(EARLY)
    b, number, lines = tl.program_id(0), channels * pixels, maps * (height + width)
    pooled, averages, normalizers, logits, statistics = _kept(kept, maps, lines, pixels)
    pooled += b * number
    averages += b * channels
    parts_of = work + 2 * lines + b * parts * 3
    mean, deviation = _mean_and_deviation(parts_of, parts, number, EPS, BF, WIDE)
    i = tl.program_id(1) * BI + tl.arange(0, BI)
    if BS == 0:
        normalizer, logit = _ask_by_product(pooled, averages, weight, bias, q, k, v, i, channels, pixels, mean,
                                            deviation, SCALE, BI, BJ, BN, WIDE)
    else:
        normed = work + 2 * lines + maps // channels * parts * 3 + b * (number + channels)
        normalizer, logit = _ask_by_pixel(pooled, normed, averages, weight, bias, q, k, v, i, channels, pixels, mean,
                                          deviation, SCALE, BI, BJ, BS, BC, BN, WIDE)
    tl.store(normalizers + b * channels + i, normalizer, mask=i < channels)
    tl.store(logits + b * channels + i, logit, mask=i < channels)
    if tl.program_id(1) == 0:
        tl.store(statistics + b * STATS, mean)
        tl.store(statistics + b * STATS + 1, deviation)


@kernel
def gate(x, kept, work, y, maps, height, width, pixels, LIMIT: tl.constexpr,
         M: tl.constexpr, BH: tl.constexpr, BW: tl.constexpr, V: tl.constexpr, WIDE: tl.constexpr, EARLY: tl.constexpr):
    """Eq. 13: all gates in one product."""
    _begin(EARLY)
    m, here, width = _maps(maps, width, M, V)
    h, w, lines = tl.program_id(1) * BH + tl.arange(0, BH), tl.arange(0, BW), maps * (height + width)
    rows, columns = here[:, None] & (h < height)[None, :], here[:, None] & (w < width)[None, :]
    inside = rows[:, :, None] & columns[:, None, :]
    v = tl.load(_pixels(x, m, h, w, height, width, V), mask=inside, other=0).to(WIDE)
    line = work + lines + m * (height + width)
    _, _, _, logits, _ = _kept(kept, maps, lines, pixels)
    of_row = tl.load(line[:, None] + h[None, :], mask=rows, other=0)
    of_row *= _gate(tl.load(logits + m, mask=here, other=0), LIMIT)[:, None]
    of_column = tl.load(line[:, None] + height + w[None, :], mask=columns, other=0)
    v *= of_row[:, :, None] * of_column[:, None, :]
    tl.store(_pixels(y, m, h, w, height, width, V), v.to(y.dtype.element_ty), mask=inside)


@kernel
def map_sums(x, grad, kept, work, weight_h, bias_h, weight_w, bias_w, maps, channels, height, width, pixels,
             LIMIT: tl.constexpr, M: tl.constexpr, BH: tl.constexpr, BW: tl.constexpr, V: tl.constexpr,
             WIDE: tl.constexpr, EARLY: tl.constexpr):
    """What one pass over x and the gradient G of y tells: ``sums``, and gradients to logits of channels.

    Means and gates are computed again, which is cheaper than to keep them.
    """
    _begin(EARLY)
    m, here, width = _maps(maps, width, M, V)
    w, lines = tl.arange(0, BW), maps * (height + width)
    gates, sums, _, _, of_logits, _, _ = _work(work, maps, lines, pixels)
    _, _, _, logits, _ = _kept(kept, maps, lines, pixels)
    channel, line = m % channels, m * (height + width)
    columns, column = here[:, None] & (w < width)[None, :], line[:, None] + height + w[None, :]
    z = tl.load(kept + column, mask=columns, other=0) * tl.load(weight_w + channel).to(WIDE)[:, None]
    of_column = _gate(z + tl.load(bias_w + channel).to(WIDE)[:, None], LIMIT)
    tl.store(gates + column, of_column, mask=columns)
    weight, bias = tl.load(weight_h + channel).to(WIDE)[:, None], tl.load(bias_h + channel).to(WIDE)[:, None]
    mean, column_sum, total = tl.zeros([M, BW], WIDE), tl.zeros([M, BW], WIDE), tl.zeros([M], WIDE)
    for first in range(0, height, BH):
        h = first + tl.arange(0, BH)
        rows, row = here[:, None] & (h < height)[None, :], line[:, None] + h[None, :]
        inside = rows[:, :, None] & columns[:, None, :]
        values = tl.load(_pixels(x, m, h, w, height, width, V), mask=inside, other=0).to(WIDE)
        grads = tl.load(_pixels(grad, m, h, w, height, width, V), mask=inside, other=0).to(WIDE)
        of_row = _gate(tl.load(kept + row, mask=rows, other=0) * weight + bias, LIMIT)
        tl.store(gates + row, of_row, mask=rows)
        tl.store(work + row, tl.sum(values, 2) / width, mask=rows)
        mean += tl.sum(values, 1)
        values *= grads
        row_sum = tl.sum(values * of_column[:, None, :], 2)
        tl.store(sums + row, row_sum, mask=rows)
        column_sum += tl.sum(values * of_row[:, :, None], 1)
        total += tl.sum(row_sum * of_row, 1)
    tl.store(work + column, mean / height, mask=columns)
    tl.store(sums + column, column_sum, mask=columns)
    g = _gate(tl.load(logits + m, mask=here, other=0), LIMIT)
    tl.store(of_logits + m, total * g * (1 - g / LIMIT), mask=here)


@triton.jit
def _answer_by_pixel(pooled, of_normed, normed, averages, normalizers, logits, of_logits, weight, bias, q, k, v, i,
                     channels, pixels, mean, deviation, SCALE: tl.constexpr, BI: tl.constexpr, BJ: tl.constexpr,
                     BS: tl.constexpr, BC: tl.constexpr, BN: tl.constexpr, WIDE: tl.constexpr):
    """Of :func:`_ask_by_pixel`, and dealt out as there: gradients to q, k and v over the mean, of channels i.

    Those to n, but for the part of the values, go to ``of_normed``.
    """
    _make_ready(pooled, normed, averages, weight, bias, v, channels, pixels, mean, deviation, BC, BN, WIDE)
    values = normed + pixels * channels
    q_i, k_i = _channels(q, k, i, i < channels, WIDE)
    value_i = tl.load(values + i, mask=i < channels, other=0)
    normalizer_i = tl.load(normalizers + i, mask=i < channels, other=0)
    logit_i = tl.load(logits + i, mask=i < channels, other=0)
    grad_i = tl.load(of_logits + i, mask=i < channels, other=0)
    slots, steps, which = tl.arange(0, BS), tl.arange(0, BJ) * BS, tl.arange(0, BN)
    of_q, of_k, of_v = tl.zeros([BS, BI], WIDE), tl.zeros([BS, BI], WIDE), tl.zeros([BS, BI], WIDE)
    of_n = tl.zeros([BN, BS, BI], WIDE)
    for start in range(0, channels, BJ * BS):
        j = start + steps[:, None] + slots[None, :]
        q_j, k_j = _channels(q, k, j, j < channels, WIDE)
        value_j = tl.load(values + j, mask=j < channels, other=0)[:, :, None]
        normalizer_j = tl.load(normalizers + j, mask=j < channels, other=0)[:, :, None]
        logit_j = tl.load(logits + j, mask=j < channels, other=0)[:, :, None]
        grad_j = tl.load(of_logits + j, mask=j < channels, other=0)[:, :, None]
        dots = tl.zeros([BJ, BS, BI], WIDE)  # D, scaled as its scores are
        for n in tl.static_range(BN):
            those = tl.where(pixels > n, channels, 0)
            n_i = tl.load(normed + n * channels + i, mask=i < those, other=0) * (SCALE * LOG2E)
            dots += n_i[None, None, :] * tl.load(normed + n * channels + j, mask=j < those, other=0)[:, :, None]
        asking, being_asked = q_i[None, None, :] * k_j[:, :, None], k_i[None, None, :] * q_j[:, :, None]
        asks = tl.where((j < channels)[:, :, None], tl.exp2(dots * asking - normalizer_i[None, None, :]), 0)
        asked = tl.exp2(dots * being_asked - normalizer_j)
        of_v += tl.sum(asked * grad_j, 0)
        asks *= grad_i[None, None, :] * (value_j - logit_i[None, None, :])  # now gradients to the scores
        asked *= grad_j * (value_i[None, None, :] - logit_j)
        of_q += tl.sum(asks * dots * k_j[:, :, None], 0)
        of_k += tl.sum(asked * dots * q_j[:, :, None], 0)
        of_dots = asks * asking + asked * being_asked
        for n in tl.static_range(BN):
            n_j = tl.load(normed + n * channels + j, mask=j < tl.where(pixels > n, channels, 0), other=0)
            of_n += tl.where((which == n)[:, None, None], tl.sum(of_dots * n_j[:, :, None], 0)[None, :, :], 0)
    tl.store(of_normed + i[None, :] * pixels + which[:, None], tl.sum(of_n, 1) * SCALE,
             mask=(i < channels)[None, :] & (which < pixels)[:, None])
    tl.debug_barrier()
    return tl.sum(of_q, 0) / LOG2E, tl.sum(of_k, 0) / LOG2E, tl.sum(of_v, 0)


@triton.jit
def _answer_by_product(pooled, of_normed, averages, normalizers, logits, of_logits, weight, bias, q, k, v, i,
                       channels, pixels, mean, deviation, SCALE: tl.constexpr, BI: tl.constexpr, BJ: tl.constexpr,
                       BN: tl.constexpr, WIDE: tl.constexpr):
    """As :func:`_answer_by_pixel`, by products of matrices, BN pixels and BJ channels at once."""
    inside_i = i < channels
    weight_i, bias_i = _channels(weight, bias, i, inside_i, WIDE)
    q_i, k_i = _channels(q, k, i, inside_i, WIDE)
    value_i = tl.load(v + i, mask=inside_i, other=0).to(WIDE) * tl.load(averages + i, mask=inside_i, other=0)
    normalizer_i = tl.load(normalizers + i, mask=inside_i, other=0)
    logit_i = tl.load(logits + i, mask=inside_i, other=0)
    grad_i = tl.load(of_logits + i, mask=inside_i, other=0)
    of_q, of_k, of_v = tl.zeros([BI, BJ], WIDE), tl.zeros([BI, BJ], WIDE), tl.zeros([BI, BJ], WIDE)
    for start in range(0, channels, BJ):
        j = start + tl.arange(0, BJ)
        inside_j = j < channels
        weight_j, bias_j = _channels(weight, bias, j, inside_j, WIDE)
        dots, sums_j = _dots(pooled, i, inside_i, weight_i, bias_i, j, inside_j, weight_j, bias_j, pixels, mean,
                             deviation, BI, BJ, BN, WIDE)
        q_j, k_j = _channels(q, k, j, inside_j, WIDE)
        value_j = tl.load(v + j, mask=inside_j, other=0).to(WIDE) * (sums_j / pixels * weight_j + bias_j)
        normalizer_j = tl.load(normalizers + j, mask=inside_j, other=0)
        logit_j = tl.load(logits + j, mask=inside_j, other=0)
        grad_j = tl.load(of_logits + j, mask=inside_j, other=0)
        both = inside_i[:, None] & inside_j[None, :]
        dots *= SCALE
        asks = tl.where(both, tl.exp2(dots * (q_i * LOG2E)[:, None] * k_j[None, :] - normalizer_i[:, None]), 0)
        asked = tl.where(both, tl.exp2(dots * k_i[:, None] * (q_j * LOG2E)[None, :] - normalizer_j[None, :]), 0)
        of_v += asked * grad_j[None, :]
        asks *= grad_i[:, None] * (value_j[None, :] - logit_i[:, None])  # now gradients to the scores
        asked *= grad_j[None, :] * (value_i[:, None] - logit_j[None, :])
        of_q += asks * k_j[None, :] * dots
        of_k += asked * q_j[None, :] * dots
        of_dots = SCALE * (asks * q_i[:, None] * k_j[None, :] + asked * k_i[:, None] * q_j[None, :])
        for first in range(0, pixels, BN):
            z_j = _standardized(pooled, j, inside_j, first, pixels, mean, deviation, BN)
            n_j = _normed(z_j, weight_j, bias_j, first, pixels, BN)
            at = first + tl.arange(0, BN)
            place, inside = i[:, None] * pixels + at[None, :], inside_i[:, None] & (at < pixels)[None, :]
            summands = tl.dot(of_dots, n_j, input_precision='tf32x3', out_dtype=WIDE)
            if start > 0:
                summands += tl.load(of_normed + place, mask=inside, other=0)
            tl.store(of_normed + place, summands, mask=inside)
        tl.debug_barrier()  # what one thread has stored another may load
    return tl.sum(of_q, 1), tl.sum(of_k, 1), tl.sum(of_v, 1)


@kernel
def attend_backward(kept, work, shares, weight, bias, q, k, v, maps, channels, height, width, down, across,
                    k0, k1, k2, k3, SCALE: tl.constexpr, STATS: tl.constexpr, GROUPS: tl.constexpr, BI: tl.constexpr,
                    BJ: tl.constexpr, BS: tl.constexpr, BC: tl.constexpr, BN: tl.constexpr, WIDE: tl.constexpr,
                    EARLY: tl.constexpr):
    """Of :func:`attend`, BI channels of an image: the gradients to n, and an image's share in those to its parameters.

    D is symmetric, so that what is between i and j gives the weights P_ij, by which these channels ask, and P_ji, by
    which they are asked.
    """
    _begin(EARLY)
    b, lines, pixels = tl.program_id(0), maps * (height + width), down * across
    pooled, averages, normalizers, logits, statistics = _kept(kept, maps, lines, pixels)
    _, _, _, _, of_logits, of_normed, of_pooled = _work(work, maps, lines, pixels)
    mean, deviation = tl.load(statistics + b * STATS), tl.load(statistics + b * STATS + 1)
    normed = of_pooled + maps * (down * width) + b * channels * (pixels + 1)
    pooled += b * channels * pixels
    of_normed += b * channels * pixels
    averages += b * channels
    normalizers += b * channels
    logits += b * channels
    of_logits += b * channels
    i = tl.program_id(1) * BI + tl.arange(0, BI)
    inside_i = i < channels
    if BS == 0:
        of_q, of_k, of_v = _answer_by_product(pooled, of_normed, averages, normalizers, logits, of_logits, weight, bias,
                                              q, k, v, i, channels, pixels, mean, deviation, SCALE, BI, BJ, BN, WIDE)
    else:
        of_q, of_k, of_v = _answer_by_pixel(pooled, of_normed, normed, averages, normalizers, logits, of_logits, weight,
                                            bias, q, k, v, i, channels, pixels, mean, deviation, SCALE, BI, BJ, BS, BC,
                                            BN, WIDE)
    v_i = tl.load(v + i, mask=inside_i, other=0).to(WIDE)
    of_weight, of_bias = tl.zeros([BI], WIDE), tl.zeros([BI], WIDE)
    for first in range(0, pixels, BN):
        at = first + tl.arange(0, BN)
        place, inside = i[:, None] * pixels + at[None, :], inside_i[:, None] & (at < pixels)[None, :]
        grads = tl.load(of_normed + place, mask=inside, other=0) + (v_i * of_v)[:, None] / pixels
        tl.store(of_normed + place, grads, mask=inside)
        grads = tl.where(inside, grads, 0)
        of_weight += tl.sum(grads * (tl.load(pooled + place, mask=inside, other=0) - mean) / deviation, 1)
        of_bias += tl.sum(grads, 1)
    _, attention, length = _shares(channels, k0, k1, k2, k3, GROUPS)
    shares += b * length + attention + i
    tl.store(shares, of_weight, mask=inside_i)
    tl.store(shares + channels, of_bias, mask=inside_i)
    tl.store(shares + 2 * channels, of_q, mask=inside_i)
    tl.store(shares + 3 * channels, of_k, mask=inside_i)
    tl.store(shares + 4 * channels, of_v * tl.load(averages + i, mask=inside_i, other=0), mask=inside_i)


@triton.jit
def _shares(channels, k0, k1, k2, k3, GROUPS: tl.constexpr):
    """Where an image's shares in the parameters' gradients are.

    Convolutions' weights; from the first number on their biases, the weights and biases of the norms of rows and of
    columns; from the second the norm's before the attention, q, k and v; the third is how long all is.
    """
    biases = channels // GROUPS * (k0 + k1 + k2 + k3)
    return biases, biases + 5 * channels, biases + 10 * channels


@kernel
def gate_gradients(x, kept, work, shares, weight, maps, channels, height, width, down, across, window_height,
                   window_width, k0, k1, k2, k3, LIMIT: tl.constexpr, STATS: tl.constexpr, GROUPS: tl.constexpr,
                   M: tl.constexpr, BH: tl.constexpr, BW: tl.constexpr, V: tl.constexpr, BC: tl.constexpr,
                   BD: tl.constexpr, WIDE: tl.constexpr, EARLY: tl.constexpr):
    """Gradients to the logits of rows and columns: of the output, in ``sums``, and of the pooled map, by a pass over x.

    The M maps are of one image.
    """
    _begin(EARLY)
    m, here, width = _maps(maps, width, M, V)
    w, lines, pixels = tl.arange(0, BW), maps * (height + width), down * across
    pooled, _, _, logits, statistics = _kept(kept, maps, lines, pixels)
    gates, sums, of_gates, _, _, of_normed, of_pooled = _work(work, maps, lines, pixels)
    line, channel, b = m * (height + width), m % channels, tl.program_id(0) * M // channels
    mean, deviation = tl.load(statistics + b * STATS), tl.load(statistics + b * STATS + 1)
    c, area = tl.arange(0, BC), window_height * window_width
    weights = tl.load(weight + c, mask=c < channels, other=0).to(WIDE)
    _, attention, length = _shares(channels, k0, k1, k2, k3, GROUPS)
    shares += b * length + attention + c
    second = tl.sum(weights * tl.load(shares, mask=c < channels, other=0)) / (channels * pixels)
    first = tl.sum(weights * tl.load(shares + channels, mask=c < channels, other=0)) / (channels * pixels)
    own_weight = tl.load(weight + channel).to(WIDE)[:, None, None]
    columns, column, j = here[:, None] & (w < width)[None, :], line[:, None] + height + w[None, :], w // window_width
    expanded = of_pooled + (m * (down * width))[:, None, None]
    for start in range(0, down, BD):
        i = start + tl.arange(0, BD)
        bands = here[:, None] & (i < down)[None, :]
        inside = bands[:, :, None] & (columns & (j < across)[None, :])[:, None, :]
        window = (m * pixels)[:, None, None] + ((i * across)[None, :, None] + j[None, None, :])
        grads = tl.load(of_normed + window, mask=inside, other=0) * own_weight - first
        grads -= (tl.load(pooled + window, mask=inside, other=0) - mean) / deviation * second
        tl.store(expanded + ((i * width)[None, :, None] + w[None, None, :]),
                 tl.where(inside, grads / (deviation * area), 0), mask=bands[:, :, None] & columns[:, None, :])
    tl.debug_barrier()  # what one thread has stored others load
    g = _gate(tl.load(logits + m, mask=here, other=0), LIMIT)[:, None]
    of_column = tl.load(gates + column, mask=columns, other=0)
    column_sum = tl.load(sums + column, mask=columns, other=0) * g
    for start in range(0, height, BH):
        h = start + tl.arange(0, BH)
        rows, row = here[:, None] & (h < height)[None, :], line[:, None] + h[None, :]
        i = h // window_height
        inside = (rows & (i < down)[None, :])[:, :, None] & columns[:, None, :]
        values = tl.load(_pixels(x, m, h, w, height, width, V), mask=inside, other=0).to(WIDE)
        values *= tl.load(expanded + ((i * width)[None, :, None] + w[None, None, :]), mask=inside, other=0)
        of_row = tl.load(gates + row, mask=rows, other=0)
        row_sum = tl.load(sums + row, mask=rows, other=0) * g + tl.sum(values * of_column[:, None, :], 2)
        tl.store(of_gates + row, row_sum * of_row * (1 - of_row / LIMIT), mask=rows)
        column_sum += tl.sum(values * of_row[:, :, None], 1)
    tl.store(of_gates + column, column_sum * of_column * (1 - of_column / LIMIT), mask=columns)


@triton.jit
def _sums_of_norm(of_gates, normed, place, inside, weight, number):
    """Gradients to the logits of a group and an axis, (BC, BL): what the gradient through the group norm needs of all.

    Means of what comes to the norm's result before its weight, and of that times the result.
    """
    grads = tl.load(of_gates + place, mask=inside, other=0) * weight[:, None]
    return tl.sum(grads) / number, tl.sum(grads * tl.load(normed + place, mask=inside, other=0)) / number


@triton.jit
def _through_norm(of_gates, normed, place, inside, weight, deviation, first, second):
    """The gradient to what goes into the group norm, (BS, BL)."""
    grads = tl.load(of_gates + place, mask=inside, other=0) * weight[:, None] - first
    return tl.where(inside, (grads - tl.load(normed + place, mask=inside, other=0) * second) / deviation, 0)


@triton.jit
def _store_norm_shares(shares, of_gates, normed, place, inside, channel, member, channels):
    """The gradients to the weight and the bias of the norm of an axis."""
    grads, z = tl.load(of_gates + place, mask=inside, other=0), tl.load(normed + place, mask=inside, other=0)
    tl.store(shares + channel, tl.sum(grads * z, 1), mask=member)
    tl.store(shares + channels + channel, tl.sum(grads, 1), mask=member)


@kernel
def gates_backward(kept, work, shares, w0, w1, w2, w3, weight_h, weight_w, maps, channels, height, width, pixels,
                   k0, k1, k2, k3, GROUPS: tl.constexpr, TAPS: tl.constexpr, STATS: tl.constexpr,
                   BC: tl.constexpr, BS: tl.constexpr, BR: tl.constexpr, BL: tl.constexpr, WIDE: tl.constexpr,
                   EARLY: tl.constexpr):
    """Of :func:`gates`, BS channels of a group of an image, both axes.

    Gradients to the means, divided by the number of pixels that each is of; and the image's share in the gradients to
    the convolutions' weights and biases and to both norms'.
    """
    _begin(EARLY)
    b, group = tl.program_id(0), tl.program_id(1)
    weights, size = _of_group(group, w0, w1, w2, w3), _of_group(group, k0, k1, k2, k3)
    before = _of_group(group, 0, k0, k0 + k1, k0 + k1 + k2)
    lines, members, side = maps * (height + width), channels // GROUPS, height + width
    _, _, _, _, statistics = _kept(kept, maps, lines, pixels)
    _, _, of_gates, of_means, _, _, _ = _work(work, maps, lines, pixels)
    biases, attention, length = _shares(channels, k0, k1, k2, k3, GROUPS)
    shares += b * length
    deviations = statistics + b * STATS + 2 + group * 2
    deviation_h, deviation_w = tl.load(deviations), tl.load(deviations + 1)
    at_h, at_w = tl.arange(0, BR), tl.arange(0, BL)

    c = tl.arange(0, BC)
    member, channel = c < members, group * members + c
    line = (b * channels + channel) * side
    weight = tl.load(weight_h + channel, mask=member, other=0).to(WIDE)
    first_h, second_h = _sums_of_norm(of_gates, kept, line[:, None] + at_h[None, :],
                                      member[:, None] & (at_h < height)[None, :], weight, members * height)
    weight = tl.load(weight_w + channel, mask=member, other=0).to(WIDE)
    first_w, second_w = _sums_of_norm(of_gates, kept, line[:, None] + height + at_w[None, :],
                                      member[:, None] & (at_w < width)[None, :], weight, members * width)

    c = tl.program_id(2) * BS + tl.arange(0, BS)
    member, channel = c < members, group * members + c
    line = (b * channels + channel) * side
    rows, columns = line[:, None] + at_h[None, :], line[:, None] + height + at_w[None, :]
    rows_inside, columns_inside = member[:, None] & (at_h < height)[None, :], member[:, None] & (at_w < width)[None, :]
    _store_norm_shares(shares + biases + channels, of_gates, kept, rows, rows_inside, channel, member, channels)
    _store_norm_shares(shares + biases + 3 * channels, of_gates, kept, columns, columns_inside, channel, member,
                       channels)
    n_h, n_w = (tl.load(weight_h + channel, mask=member, other=0).to(WIDE),
                tl.load(weight_w + channel, mask=member, other=0).to(WIDE))
    grads_h = _through_norm(of_gates, kept, rows, rows_inside, n_h, deviation_h, first_h, second_h)
    grads_w = _through_norm(of_gates, kept, columns, columns_inside, n_w, deviation_w, first_w, second_w)
    tl.store(shares + biases + channel, tl.sum(grads_h, 1) + tl.sum(grads_w, 1), mask=member)
    of_rows, of_columns = tl.zeros([BS, BR], WIDE), tl.zeros([BS, BL], WIDE)
    for tap in tl.static_range(TAPS):
        shift, has_tap = tap - size // 2, c < tl.where(size > tap, members, 0)
        h, w = at_h + shift, at_w + shift
        mean_h = tl.load(work + rows + shift, mask=has_tap[:, None] & ((h >= 0) & (h < height))[None, :], other=0)
        mean_w = tl.load(work + columns + shift, mask=has_tap[:, None] & ((w >= 0) & (w < width))[None, :], other=0)
        tl.store(shares + before * members + c * size + tap,
                 tl.sum(grads_h * mean_h, 1) + tl.sum(grads_w * mean_w, 1), mask=has_tap)
        weight = tl.load(weights + c * size + tap, mask=has_tap, other=0).to(WIDE)[:, None]
        h, w = at_h - shift, at_w - shift
        of_rows += weight * _through_norm(
            of_gates, kept, rows - shift, has_tap[:, None] & ((h >= 0) & (h < height))[None, :], n_h, deviation_h,
            first_h, second_h)
        of_columns += weight * _through_norm(
            of_gates, kept, columns - shift, has_tap[:, None] & ((w >= 0) & (w < width))[None, :], n_w, deviation_w,
            first_w, second_w)
    tl.store(of_means + rows, of_rows / width, mask=rows_inside)
    tl.store(of_means + columns, of_columns / height, mask=columns_inside)


@kernel
def add_gradients(grad, kept, work, of_x, maps, height, width, down, across, window_height,
                  LIMIT: tl.constexpr, M: tl.constexpr, BH: tl.constexpr, BW: tl.constexpr, V: tl.constexpr,
                  WIDE: tl.constexpr, EARLY: tl.constexpr):
    """The gradient to x: of the product, of the pooled map, and of the means."""
    _begin(EARLY)
    m, here, width = _maps(maps, width, M, V)
    h, w, lines = tl.program_id(1) * BH + tl.arange(0, BH), tl.arange(0, BW), maps * (height + width)
    _, _, _, logits, _ = _kept(kept, maps, lines, down * across)
    gates, _, _, of_means, _, _, of_pooled = _work(work, maps, lines, down * across)
    rows, columns = here[:, None] & (h < height)[None, :], here[:, None] & (w < width)[None, :]
    row = (m * (height + width))[:, None] + h[None, :]
    column = (m * (height + width))[:, None] + height + w[None, :]
    inside = rows[:, :, None] & columns[:, None, :]
    v = tl.load(_pixels(grad, m, h, w, height, width, V), mask=inside, other=0).to(WIDE)
    v *= _gate(tl.load(logits + m, mask=here, other=0), LIMIT)[:, None, None]
    i = h // window_height
    v += tl.load(of_pooled + (m * (down * width))[:, None, None] + ((i * width)[None, :, None] + w[None, None, :]),
                 mask=(rows & (i < down)[None, :])[:, :, None] & columns[:, None, :], other=0)
    v *= tl.load(gates + row, mask=rows, other=0)[:, :, None]
    v *= tl.load(gates + column, mask=columns, other=0)[:, None, :]
    v += tl.load(of_means + row, mask=rows, other=0)[:, :, None]
    v += tl.load(of_means + column, mask=columns, other=0)[:, None, :]
    tl.store(_pixels(of_x, m, h, w, height, width, V), v.to(of_x.dtype.element_ty), mask=inside)
