"""Channel attention of SCSA, forward and backward: Eq. 9 to 12.

Tokens are the C channels of an image, features the N pixels of its pooled map p. With n = GroupNorm(1, C)(p), scalar
weights q, k, v per channel (depthwise 1x1 convolutions) and i, j channels:

    S_ij  = s q_i k_j D_ij, where D_ij = <n_i, n_j> and s = 1 / sqrt(C)
    P_ij  = softmax over j of S_ij
    logit of g_i = mean over pixels of (P v n)_i = sum_j P_ij v_j m_j, where m_j = mean over pixels of n_j

The last line moves the mean inside, so that a value is one number per channel. As in flash attention, P is never
stored: forward uses the online softmax and saves the log-sum-exp (``lse``), from which backward recomputes P. Scores
are multiplied by log2(e), so that exp2 can be used.

Gradients, with u = dL/dlogit and dS_ij = P_ij u_i (v_j m_j - logit_i):

    dq_i = sum_j dS_ij s k_j D_ij       dk_j = sum_i dS_ij s q_i D_ij       dvm_j = sum_i P_ij u_i
    dv_j = dvm_j m_j                    dn_i = sum_j (dS_ij s q_i k_j + dS_ji s q_j k_i) n_j + dvm_i v_i / N

D is symmetric, so a program that owns channels i computes both S_ij and S_ji from the same D_ij.

There are two versions of each direction. The dot version multiplies matrices with ``tl.dot``, which needs N >= 16 to be
worthwhile. The fma (fused multiply-add) version is for smaller N: it first stores n as (N, C) to a scratch buffer, then
each thread owns one channel i and one of NUM_SLOTS interleaved subsets of the channels j, so that threads exchange data
only at the end.
"""
import triton
import triton.language as tl

from .common import LOG2E, kernel, load_pair, wait_for_inputs

__all__ = ['channel_attention_bwd_kernel', 'channel_attention_kernel']

MIN_SCORE = tl.constexpr(-3e38)  # start of the running maximum; finite, because -inf - (-inf) is NaN


@triton.jit
def merge_part_stats(part_stats_ptr, num_parts, numel, EPS: tl.constexpr, BLOCK_PARTS: tl.constexpr,
                     ACC_DTYPE: tl.constexpr):
    """Return the mean and standard deviation of an image's pooled map from those of its parts (Chan et al.)."""
    offs = tl.arange(0, BLOCK_PARTS)
    sums, squares = tl.zeros([BLOCK_PARTS], ACC_DTYPE), tl.zeros([BLOCK_PARTS], ACC_DTYPE)
    for start in range(0, num_parts, BLOCK_PARTS):
        ptrs, mask = part_stats_ptr + (start + offs) * 3, start + offs < num_parts
        sums += tl.load(ptrs, mask=mask, other=0) * tl.load(ptrs + 1, mask=mask, other=0)
    mean = tl.sum(sums) / numel
    for start in range(0, num_parts, BLOCK_PARTS):
        ptrs, mask = part_stats_ptr + (start + offs) * 3, start + offs < num_parts
        deviation = tl.load(ptrs + 1, mask=mask, other=0) - mean
        squares += tl.load(ptrs + 2, mask=mask, other=0)
        squares += tl.load(ptrs, mask=mask, other=0) * deviation * deviation
    return mean, tl.sqrt(tl.sum(squares) / numel + EPS)


@triton.jit
def online_softmax(scores, values, row_max, row_sum, acc, AXIS: tl.constexpr):
    """Add scores and the values that they weight to a running softmax along AXIS."""
    new_max = tl.maximum(row_max, tl.max(scores, AXIS))
    p, alpha = tl.exp2(scores - tl.expand_dims(new_max, AXIS)), tl.exp2(row_max - new_max)
    row_sum = row_sum * alpha + tl.sum(p, AXIS)
    acc = acc * alpha + tl.sum(p * values, AXIS)
    return new_max, row_sum, acc


@triton.jit
def load_xhat(pooled_ptr, offs_c, mask_c, start_n, num_pixels, mean, std, BLOCK_N: tl.constexpr):
    """Load pooled pixels (C, BLOCK_N), normalized but without weight and bias; 0 past the last pixel."""
    offs_n = start_n + tl.arange(0, BLOCK_N)
    mask = mask_c[:, None] & (offs_n < num_pixels)[None, :]
    return (tl.load(pooled_ptr + offs_c[:, None] * num_pixels + offs_n[None, :], mask=mask, other=mean) - mean) / std


@triton.jit
def apply_affine(xhat, weight, bias, start_n, num_pixels, BLOCK_N: tl.constexpr):
    """Return n = xhat * weight + bias; 0 past the last pixel."""
    mask_n = start_n + tl.arange(0, BLOCK_N) < num_pixels
    return tl.where(mask_n[None, :], xhat * weight[:, None] + bias[:, None], 0)


@triton.jit
def channel_dots(pooled_ptr, offs_i, mask_i, weight_i, bias_i, offs_j, mask_j, weight_j, bias_j, num_pixels, mean, std,
                 BLOCK_I: tl.constexpr, BLOCK_J: tl.constexpr, BLOCK_N: tl.constexpr, ACC_DTYPE: tl.constexpr):
    """Return D (BLOCK_I, BLOCK_J) for the given affines, and the sum over pixels of xhat_j (BLOCK_J,)."""
    dots, sum_j = tl.zeros([BLOCK_I, BLOCK_J], ACC_DTYPE), tl.zeros([BLOCK_J], ACC_DTYPE)
    for start_n in range(0, num_pixels, BLOCK_N):
        xhat_j = load_xhat(pooled_ptr, offs_j, mask_j, start_n, num_pixels, mean, std, BLOCK_N)
        xhat_i = load_xhat(pooled_ptr, offs_i, mask_i, start_n, num_pixels, mean, std, BLOCK_N)
        n_i = apply_affine(xhat_i, weight_i, bias_i, start_n, num_pixels, BLOCK_N)
        n_j = apply_affine(xhat_j, weight_j, bias_j, start_n, num_pixels, BLOCK_N)
        dots = tl.dot(n_i, tl.trans(n_j), dots, input_precision='tf32x3', out_dtype=ACC_DTYPE)
        sum_j += tl.sum(xhat_j, 1)
    return dots, sum_j


@triton.jit
def store_normed(pooled_ptr, normed_ptr, n_mean_ptr, norm_weight_ptr, norm_bias_ptr, v_weight_ptr, channels,
                 num_pixels, mean, std, BLOCK_C: tl.constexpr, BLOCK_N: tl.constexpr, ACC_DTYPE: tl.constexpr):
    """Store n (N, C), then the values v m (C,), to ``normed_ptr``, and m (C,) to ``n_mean_ptr``.

    All programs of an image store the same numbers, so none has to wait for another.
    """
    offs_c = tl.arange(0, BLOCK_C)
    mask_c = offs_c < channels
    weight, bias = load_pair(norm_weight_ptr, norm_bias_ptr, offs_c, mask_c, ACC_DTYPE)
    n_mean = tl.zeros([BLOCK_C], ACC_DTYPE)
    for pixel in tl.static_range(BLOCK_N):
        mask = offs_c < tl.where(num_pixels > pixel, channels, 0)
        n = (tl.load(pooled_ptr + offs_c * num_pixels + pixel, mask=mask, other=0) - mean) / std * weight + bias
        n_mean += tl.where(mask, n, 0)
        tl.store(normed_ptr + pixel * channels + offs_c, n, mask=mask)
    n_mean /= num_pixels
    tl.store(n_mean_ptr + offs_c, n_mean, mask=mask_c)
    v = tl.load(v_weight_ptr + offs_c, mask=mask_c, other=0).to(ACC_DTYPE)
    tl.store(normed_ptr + num_pixels * channels + offs_c, v * n_mean, mask=mask_c)
    tl.debug_barrier()  # other threads of the program load what was stored above


@triton.jit
def attention_fma(pooled_ptr, normed_ptr, n_mean_ptr, norm_weight_ptr, norm_bias_ptr, q_weight_ptr, k_weight_ptr,
                  v_weight_ptr, offs_i, channels, num_pixels, mean, std, SM_SCALE: tl.constexpr,
                  BLOCK_I: tl.constexpr, BLOCK_J: tl.constexpr, NUM_SLOTS: tl.constexpr, BLOCK_C: tl.constexpr,
                  BLOCK_N: tl.constexpr, ACC_DTYPE: tl.constexpr):
    """Return the lse and the logits (BLOCK_I,) of channels i, with tiles (BLOCK_J, NUM_SLOTS, BLOCK_I)."""
    store_normed(pooled_ptr, normed_ptr, n_mean_ptr, norm_weight_ptr, norm_bias_ptr, v_weight_ptr, channels,
                 num_pixels, mean, std, BLOCK_C, BLOCK_N, ACC_DTYPE)
    values_ptr = normed_ptr + num_pixels * channels
    q_i = tl.load(q_weight_ptr + offs_i, mask=offs_i < channels, other=0).to(ACC_DTYPE) * (SM_SCALE * LOG2E)
    slots, steps = tl.arange(0, NUM_SLOTS), tl.arange(0, BLOCK_J) * NUM_SLOTS
    row_max = tl.full([NUM_SLOTS, BLOCK_I], MIN_SCORE, ACC_DTYPE)
    row_sum, acc = tl.zeros([NUM_SLOTS, BLOCK_I], ACC_DTYPE), tl.zeros([NUM_SLOTS, BLOCK_I], ACC_DTYPE)
    for start_j in range(0, channels, BLOCK_J * NUM_SLOTS):
        offs_j = start_j + steps[:, None] + slots[None, :]
        mask_j = offs_j < channels
        k_j = tl.load(k_weight_ptr + offs_j, mask=mask_j, other=0).to(ACC_DTYPE)
        scores = tl.zeros([BLOCK_J, NUM_SLOTS, BLOCK_I], ACC_DTYPE)
        scores += tl.where(mask_j, 0, float('-inf'))[:, :, None]
        for pixel in tl.static_range(BLOCK_N):
            bound = tl.where(num_pixels > pixel, channels, 0)
            query = tl.load(normed_ptr + pixel * channels + offs_i, mask=offs_i < bound, other=0) * q_i
            key = tl.load(normed_ptr + pixel * channels + offs_j, mask=offs_j < bound, other=0) * k_j
            scores += query[None, None, :] * key[:, :, None]
        values = tl.load(values_ptr + offs_j, mask=mask_j, other=0)
        row_max, row_sum, acc = online_softmax(scores, values[:, :, None], row_max, row_sum, acc, 0)
    # merge the slots
    total_max = tl.max(row_max, 0)
    alpha = tl.exp2(row_max - total_max[None, :])
    total = tl.sum(row_sum * alpha, 0)
    return total_max + tl.log2(total), tl.sum(acc * alpha, 0) / total


@triton.jit
def attention_dot(pooled_ptr, n_mean_ptr, norm_weight_ptr, norm_bias_ptr, q_weight_ptr, k_weight_ptr, v_weight_ptr,
                  offs_i, channels, num_pixels, mean, std, SM_SCALE: tl.constexpr, BLOCK_I: tl.constexpr,
                  BLOCK_J: tl.constexpr, BLOCK_N: tl.constexpr, ACC_DTYPE: tl.constexpr):
    """Return the lse and the logits (BLOCK_I,) of channels i, with tl.dot on tiles (BLOCK_I, BLOCK_J)."""
    mask_i = offs_i < channels
    weight_i, bias_i = load_pair(norm_weight_ptr, norm_bias_ptr, offs_i, mask_i, ACC_DTYPE)
    q_i = tl.load(q_weight_ptr + offs_i, mask=mask_i, other=0).to(ACC_DTYPE) * (SM_SCALE * LOG2E)
    row_max = tl.full([BLOCK_I], MIN_SCORE, ACC_DTYPE)
    row_sum, acc = tl.zeros([BLOCK_I], ACC_DTYPE), tl.zeros([BLOCK_I], ACC_DTYPE)
    for start_j in range(0, channels, BLOCK_J):
        offs_j = start_j + tl.arange(0, BLOCK_J)
        mask_j = offs_j < channels
        weight_j, bias_j = load_pair(norm_weight_ptr, norm_bias_ptr, offs_j, mask_j, ACC_DTYPE)
        k_j, v_j = load_pair(k_weight_ptr, v_weight_ptr, offs_j, mask_j, ACC_DTYPE)
        # q_i and k_j go into the affine of n, which makes D the scores
        scores, sum_j = channel_dots(pooled_ptr, offs_i, mask_i, weight_i * q_i, bias_i * q_i, offs_j, mask_j,
                                     weight_j * k_j, bias_j * k_j, num_pixels, mean, std, BLOCK_I, BLOCK_J, BLOCK_N,
                                     ACC_DTYPE)
        n_mean = sum_j / num_pixels * weight_j + bias_j
        tl.store(n_mean_ptr + offs_j, n_mean, mask=mask_j)  # all programs of an image store the same numbers
        scores += tl.where(mask_j, 0, float('-inf'))[None, :]
        row_max, row_sum, acc = online_softmax(scores, (v_j * n_mean)[None, :], row_max, row_sum, acc, 1)
    return row_max + tl.log2(row_sum), acc / row_sum


@kernel
def channel_attention_kernel(pooled_ptr, part_stats_ptr, normed_ptr, pooled_stats_ptr, n_mean_ptr, lse_ptr,
                             channel_logit_ptr, norm_weight_ptr, norm_bias_ptr, q_weight_ptr, k_weight_ptr,
                             v_weight_ptr, channels, num_pixels, num_parts, SM_SCALE: tl.constexpr, EPS: tl.constexpr,
                             USE_DOT: tl.constexpr, BLOCK_I: tl.constexpr, BLOCK_J: tl.constexpr,
                             NUM_SLOTS: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_N: tl.constexpr,
                             BLOCK_PARTS: tl.constexpr, ACC_DTYPE: tl.constexpr, USE_PDL: tl.constexpr):
    """Compute the logits of the channel gates g (Eq. 9 to 12).

    Grid: (B, cdiv(C, BLOCK_I))

    Args:
        pooled_ptr: p (B, C, N).
        part_stats_ptr: Count, mean and sum of squared deviations of each part of p (B, num_parts, 3).
        normed_ptr: Scratch (B, N + 1, C); not used with USE_DOT.
        pooled_stats_ptr: Output (B, 2): mean and standard deviation of p.
        n_mean_ptr: Output m (B, C).
        lse_ptr: Output (B, C): log2 of the sum over j of exp(S_ij).
        channel_logit_ptr: Output (B, C).
        norm_weight_ptr: Weight (C,) of the norm, and its bias.
        q_weight_ptr: Scale of each channel (C,); k and v likewise.
    """
    wait_for_inputs(USE_PDL)
    image, numel = tl.program_id(0), channels * num_pixels
    pooled_ptr += image * numel
    n_mean_ptr += image * channels
    mean, std = merge_part_stats(part_stats_ptr + image * num_parts * 3, num_parts, numel, EPS, BLOCK_PARTS, ACC_DTYPE)
    offs_i = tl.program_id(1) * BLOCK_I + tl.arange(0, BLOCK_I)
    if USE_DOT:
        lse, logit = attention_dot(pooled_ptr, n_mean_ptr, norm_weight_ptr, norm_bias_ptr, q_weight_ptr, k_weight_ptr,
                                   v_weight_ptr, offs_i, channels, num_pixels, mean, std, SM_SCALE, BLOCK_I, BLOCK_J,
                                   BLOCK_N, ACC_DTYPE)
    else:
        normed_ptr += image * (numel + channels)
        lse, logit = attention_fma(pooled_ptr, normed_ptr, n_mean_ptr, norm_weight_ptr, norm_bias_ptr, q_weight_ptr,
                                   k_weight_ptr, v_weight_ptr, offs_i, channels, num_pixels, mean, std, SM_SCALE,
                                   BLOCK_I, BLOCK_J, NUM_SLOTS, BLOCK_C, BLOCK_N, ACC_DTYPE)
    tl.store(lse_ptr + image * channels + offs_i, lse, mask=offs_i < channels)
    tl.store(channel_logit_ptr + image * channels + offs_i, logit, mask=offs_i < channels)
    if tl.program_id(1) == 0:
        tl.store(pooled_stats_ptr + image * 2, mean)
        tl.store(pooled_stats_ptr + image * 2 + 1, std)


@triton.jit
def attention_bwd_fma(pooled_ptr, normed_ptr, n_mean_ptr, lse_ptr, channel_logit_ptr, grad_channel_logit_ptr,
                      grad_normed_ptr, norm_weight_ptr, norm_bias_ptr, q_weight_ptr, k_weight_ptr, v_weight_ptr, offs_i,
                      channels, num_pixels, mean, std, SM_SCALE: tl.constexpr, BLOCK_I: tl.constexpr,
                      BLOCK_J: tl.constexpr, NUM_SLOTS: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_N: tl.constexpr,
                      ACC_DTYPE: tl.constexpr):
    """Return dq, dk and dvm (BLOCK_I,) of channels i, and store dn_i without its dvm term."""
    store_normed(pooled_ptr, normed_ptr, n_mean_ptr, norm_weight_ptr, norm_bias_ptr, v_weight_ptr, channels,
                 num_pixels, mean, std, BLOCK_C, BLOCK_N, ACC_DTYPE)
    values_ptr = normed_ptr + num_pixels * channels
    mask_i = offs_i < channels
    q_i, k_i = load_pair(q_weight_ptr, k_weight_ptr, offs_i, mask_i, ACC_DTYPE)
    value_i = tl.load(values_ptr + offs_i, mask=mask_i, other=0)
    lse_i = tl.load(lse_ptr + offs_i, mask=mask_i, other=0)
    logit_i = tl.load(channel_logit_ptr + offs_i, mask=mask_i, other=0)
    u_i = tl.load(grad_channel_logit_ptr + offs_i, mask=mask_i, other=0)
    slots, steps, offs_n = tl.arange(0, NUM_SLOTS), tl.arange(0, BLOCK_J) * NUM_SLOTS, tl.arange(0, BLOCK_N)
    dq, dk = tl.zeros([NUM_SLOTS, BLOCK_I], ACC_DTYPE), tl.zeros([NUM_SLOTS, BLOCK_I], ACC_DTYPE)
    dvm, dn = tl.zeros([NUM_SLOTS, BLOCK_I], ACC_DTYPE), tl.zeros([BLOCK_N, NUM_SLOTS, BLOCK_I], ACC_DTYPE)
    for start_j in range(0, channels, BLOCK_J * NUM_SLOTS):
        offs_j = start_j + steps[:, None] + slots[None, :]
        mask_j = offs_j < channels
        q_j, k_j = load_pair(q_weight_ptr, k_weight_ptr, offs_j, mask_j, ACC_DTYPE)
        value_j = tl.load(values_ptr + offs_j, mask=mask_j, other=0)[:, :, None]
        lse_j = tl.load(lse_ptr + offs_j, mask=mask_j, other=0)[:, :, None]
        logit_j = tl.load(channel_logit_ptr + offs_j, mask=mask_j, other=0)[:, :, None]
        u_j = tl.load(grad_channel_logit_ptr + offs_j, mask=mask_j, other=0)[:, :, None]
        dots = tl.zeros([BLOCK_J, NUM_SLOTS, BLOCK_I], ACC_DTYPE)  # s log2(e) D_ij
        for pixel in tl.static_range(BLOCK_N):
            bound = tl.where(num_pixels > pixel, channels, 0)
            n_i = tl.load(normed_ptr + pixel * channels + offs_i, mask=offs_i < bound, other=0) * (SM_SCALE * LOG2E)
            n_j = tl.load(normed_ptr + pixel * channels + offs_j, mask=offs_j < bound, other=0)
            dots += n_i[None, None, :] * n_j[:, :, None]
        qk_ij, qk_ji = q_i[None, None, :] * k_j[:, :, None], k_i[None, None, :] * q_j[:, :, None]
        p_ij = tl.where(mask_j[:, :, None], tl.exp2(dots * qk_ij - lse_i[None, None, :]), 0)
        p_ji = tl.exp2(dots * qk_ji - lse_j)
        dvm += tl.sum(p_ji * u_j, 0)
        ds_ij = p_ij * (u_i[None, None, :] * (value_j - logit_i[None, None, :]))
        ds_ji = p_ji * (u_j * (value_i[None, None, :] - logit_j))
        dq += tl.sum(ds_ij * dots * k_j[:, :, None], 0)
        dk += tl.sum(ds_ji * dots * q_j[:, :, None], 0)
        ddots = ds_ij * qk_ij + ds_ji * qk_ji
        for pixel in tl.static_range(BLOCK_N):
            bound = tl.where(num_pixels > pixel, channels, 0)
            n_j = tl.load(normed_ptr + pixel * channels + offs_j, mask=offs_j < bound, other=0)
            dn += tl.where((offs_n == pixel)[:, None, None], tl.sum(ddots * n_j[:, :, None], 0)[None, :, :], 0)
    tl.store(grad_normed_ptr + offs_i[None, :] * num_pixels + offs_n[:, None], tl.sum(dn, 1) * SM_SCALE,
             mask=mask_i[None, :] & (offs_n < num_pixels)[:, None])
    tl.debug_barrier()  # other threads of the program load what was stored above
    return tl.sum(dq, 0) / LOG2E, tl.sum(dk, 0) / LOG2E, tl.sum(dvm, 0)


@triton.jit
def attention_bwd_dot(pooled_ptr, n_mean_ptr, lse_ptr, channel_logit_ptr, grad_channel_logit_ptr, grad_normed_ptr,
                      norm_weight_ptr, norm_bias_ptr, q_weight_ptr, k_weight_ptr, v_weight_ptr, offs_i, channels,
                      num_pixels, mean, std, SM_SCALE: tl.constexpr, BLOCK_I: tl.constexpr, BLOCK_J: tl.constexpr,
                      BLOCK_N: tl.constexpr, ACC_DTYPE: tl.constexpr):
    """Return dq, dk and dvm (BLOCK_I,) of channels i, and store dn_i without its dvm term, with tl.dot."""
    mask_i = offs_i < channels
    weight_i, bias_i = load_pair(norm_weight_ptr, norm_bias_ptr, offs_i, mask_i, ACC_DTYPE)
    q_i, k_i = load_pair(q_weight_ptr, k_weight_ptr, offs_i, mask_i, ACC_DTYPE)
    v_i = tl.load(v_weight_ptr + offs_i, mask=mask_i, other=0).to(ACC_DTYPE)
    value_i = v_i * tl.load(n_mean_ptr + offs_i, mask=mask_i, other=0)
    lse_i = tl.load(lse_ptr + offs_i, mask=mask_i, other=0)
    logit_i = tl.load(channel_logit_ptr + offs_i, mask=mask_i, other=0)
    u_i = tl.load(grad_channel_logit_ptr + offs_i, mask=mask_i, other=0)
    dq, dk = tl.zeros([BLOCK_I, BLOCK_J], ACC_DTYPE), tl.zeros([BLOCK_I, BLOCK_J], ACC_DTYPE)
    dvm = tl.zeros([BLOCK_I, BLOCK_J], ACC_DTYPE)
    for start_j in range(0, channels, BLOCK_J):
        offs_j = start_j + tl.arange(0, BLOCK_J)
        mask_j = offs_j < channels
        weight_j, bias_j = load_pair(norm_weight_ptr, norm_bias_ptr, offs_j, mask_j, ACC_DTYPE)
        dots, sum_j = channel_dots(pooled_ptr, offs_i, mask_i, weight_i, bias_i, offs_j, mask_j, weight_j, bias_j,
                                   num_pixels, mean, std, BLOCK_I, BLOCK_J, BLOCK_N, ACC_DTYPE)
        q_j, k_j = load_pair(q_weight_ptr, k_weight_ptr, offs_j, mask_j, ACC_DTYPE)
        v_j = tl.load(v_weight_ptr + offs_j, mask=mask_j, other=0).to(ACC_DTYPE)
        value_j = v_j * (sum_j / num_pixels * weight_j + bias_j)
        lse_j = tl.load(lse_ptr + offs_j, mask=mask_j, other=0)
        logit_j = tl.load(channel_logit_ptr + offs_j, mask=mask_j, other=0)
        u_j = tl.load(grad_channel_logit_ptr + offs_j, mask=mask_j, other=0)
        mask = mask_i[:, None] & mask_j[None, :]
        dots *= SM_SCALE
        p_ij = tl.where(mask, tl.exp2(dots * (q_i * LOG2E)[:, None] * k_j[None, :] - lse_i[:, None]), 0)
        p_ji = tl.where(mask, tl.exp2(dots * k_i[:, None] * (q_j * LOG2E)[None, :] - lse_j[None, :]), 0)
        dvm += p_ji * u_j[None, :]
        ds_ij = p_ij * (u_i[:, None] * (value_j[None, :] - logit_i[:, None]))
        ds_ji = p_ji * (u_j[None, :] * (value_i[:, None] - logit_j[None, :]))
        dq += ds_ij * k_j[None, :] * dots
        dk += ds_ji * q_j[None, :] * dots
        ddots = SM_SCALE * (ds_ij * q_i[:, None] * k_j[None, :] + ds_ji * k_i[:, None] * q_j[None, :])
        for start_n in range(0, num_pixels, BLOCK_N):
            xhat_j = load_xhat(pooled_ptr, offs_j, mask_j, start_n, num_pixels, mean, std, BLOCK_N)
            n_j = apply_affine(xhat_j, weight_j, bias_j, start_n, num_pixels, BLOCK_N)
            offs_n = start_n + tl.arange(0, BLOCK_N)
            ptrs = grad_normed_ptr + offs_i[:, None] * num_pixels + offs_n[None, :]
            mask_in = mask_i[:, None] & (offs_n < num_pixels)[None, :]
            dn = tl.dot(ddots, n_j, input_precision='tf32x3', out_dtype=ACC_DTYPE)
            if start_j > 0:
                dn += tl.load(ptrs, mask=mask_in, other=0)
            tl.store(ptrs, dn, mask=mask_in)
        tl.debug_barrier()  # other threads of the program may load what was stored above
    return tl.sum(dq, 1), tl.sum(dk, 1), tl.sum(dvm, 1)


@kernel
def channel_attention_bwd_kernel(pooled_ptr, normed_ptr, pooled_stats_ptr, n_mean_ptr, lse_ptr, channel_logit_ptr,
                                 grad_channel_logit_ptr, grad_normed_ptr, norm_weight_ptr, norm_bias_ptr, q_weight_ptr,
                                 k_weight_ptr, v_weight_ptr, grad_norm_weight_ptr, grad_norm_bias_ptr, grad_q_ptr,
                                 grad_k_ptr, grad_v_ptr, channels, num_pixels, stride_grad_b, SM_SCALE: tl.constexpr,
                                 USE_DOT: tl.constexpr, BLOCK_I: tl.constexpr, BLOCK_J: tl.constexpr,
                                 NUM_SLOTS: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_N: tl.constexpr,
                                 ACC_DTYPE: tl.constexpr, USE_PDL: tl.constexpr):
    """Compute dL/dn, and an image's part of the gradients of the norm's parameters, q, k and v.

    Grid: (B, cdiv(C, BLOCK_I))

    Args:
        pooled_ptr: p (B, C, N).
        normed_ptr: Scratch (B, N + 1, C); not used with USE_DOT.
        pooled_stats_ptr: Mean and standard deviation of p (B, 2).
        n_mean_ptr: m (B, C).
        lse_ptr: Saved by channel_attention_kernel (B, C).
        channel_logit_ptr: Saved by channel_attention_kernel (B, C).
        grad_channel_logit_ptr: u = dL/dlogit (B, C).
        grad_normed_ptr: Output dL/dn (B, C, N).
        norm_weight_ptr: Weight (C,) of the norm, and its bias.
        q_weight_ptr: Scale of each channel (C,); k and v likewise.
        grad_norm_weight_ptr: Output (B, C) with stride ``stride_grad_b``; likewise for the other parameters.
    """
    wait_for_inputs(USE_PDL)
    image = tl.program_id(0)
    mean, std = tl.load(pooled_stats_ptr + image * 2), tl.load(pooled_stats_ptr + image * 2 + 1)
    pooled_ptr += image * channels * num_pixels
    grad_normed_ptr += image * channels * num_pixels
    normed_ptr += image * channels * (num_pixels + 1)
    n_mean_ptr += image * channels
    lse_ptr += image * channels
    channel_logit_ptr += image * channels
    grad_channel_logit_ptr += image * channels
    offs_i = tl.program_id(1) * BLOCK_I + tl.arange(0, BLOCK_I)
    mask_i = offs_i < channels
    if USE_DOT:
        dq, dk, dvm = attention_bwd_dot(pooled_ptr, n_mean_ptr, lse_ptr, channel_logit_ptr, grad_channel_logit_ptr,
                                        grad_normed_ptr, norm_weight_ptr, norm_bias_ptr, q_weight_ptr, k_weight_ptr,
                                        v_weight_ptr, offs_i, channels, num_pixels, mean, std, SM_SCALE, BLOCK_I,
                                        BLOCK_J, BLOCK_N, ACC_DTYPE)
    else:
        dq, dk, dvm = attention_bwd_fma(pooled_ptr, normed_ptr, n_mean_ptr, lse_ptr, channel_logit_ptr,
                                        grad_channel_logit_ptr, grad_normed_ptr, norm_weight_ptr, norm_bias_ptr,
                                        q_weight_ptr, k_weight_ptr, v_weight_ptr, offs_i, channels, num_pixels, mean,
                                        std, SM_SCALE, BLOCK_I, BLOCK_J, NUM_SLOTS, BLOCK_C, BLOCK_N, ACC_DTYPE)
    v_i = tl.load(v_weight_ptr + offs_i, mask=mask_i, other=0).to(ACC_DTYPE)
    grad_weight, grad_bias = tl.zeros([BLOCK_I], ACC_DTYPE), tl.zeros([BLOCK_I], ACC_DTYPE)
    for start_n in range(0, num_pixels, BLOCK_N):
        offs_n = start_n + tl.arange(0, BLOCK_N)
        offs, mask = offs_i[:, None] * num_pixels + offs_n[None, :], mask_i[:, None] & (offs_n < num_pixels)[None, :]
        dn = tl.load(grad_normed_ptr + offs, mask=mask, other=0) + (v_i * dvm)[:, None] / num_pixels
        tl.store(grad_normed_ptr + offs, dn, mask=mask)
        dn = tl.where(mask, dn, 0)
        grad_weight += tl.sum(dn * (tl.load(pooled_ptr + offs, mask=mask, other=0) - mean) / std, 1)
        grad_bias += tl.sum(dn, 1)
    offs = image * stride_grad_b + offs_i
    tl.store(grad_norm_weight_ptr + offs, grad_weight, mask=mask_i)
    tl.store(grad_norm_bias_ptr + offs, grad_bias, mask=mask_i)
    tl.store(grad_q_ptr + offs, dq, mask=mask_i)
    tl.store(grad_k_ptr + offs, dk, mask=mask_i)
    tl.store(grad_v_ptr + offs, dvm * tl.load(n_mean_ptr + offs_i, mask=mask_i, other=0), mask=mask_i)
