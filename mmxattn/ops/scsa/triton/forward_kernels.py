"""Forward kernels of SCSA, except the channel attention: Eq. 1 to 8 and Eq. 13.

A kernel sees an input (B, C, H, W) as M = B * C maps (H, W). An axis tensor (M, H + W) holds one value for each row of
a map, followed by one for each column. The package's docstring explains the notation.
"""
import triton
import triton.language as tl

from .common import gate, kernel, load_pair, map_block, pixel_ptrs, select_group, wait_for_inputs

__all__ = ['apply_gates_kernel', 'axis_gates_kernel', 'axis_means_kernel', 'fused_smsa_kernel', 'pool_kernel']


@triton.jit
def store_axis_means(x_ptr, axis_mean_ptr, offs_m, mask_m, height, width, BLOCK_M: tl.constexpr,
                     BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr, VEC: tl.constexpr, ACC_DTYPE: tl.constexpr):
    """Store the mean of each row and column of maps ``offs_m`` (Eq. 1)."""
    offs_w = tl.arange(0, BLOCK_W)
    mask_w = offs_w < width
    mean_ptrs = axis_mean_ptr + offs_m * (height + width)
    col_sum = tl.zeros([BLOCK_M, BLOCK_W], ACC_DTYPE)
    for start_h in range(0, height, BLOCK_H):
        offs_h = start_h + tl.arange(0, BLOCK_H)
        mask_row = mask_m[:, None] & (offs_h < height)[None, :]
        x = tl.load(pixel_ptrs(x_ptr, offs_m, offs_h, offs_w, height, width, VEC),
                    mask=mask_row[:, :, None] & mask_w[None, None, :], other=0).to(ACC_DTYPE)
        tl.store(mean_ptrs[:, None] + offs_h[None, :], tl.sum(x, 2) / width, mask=mask_row)
        col_sum += tl.sum(x, 1)
    tl.store(mean_ptrs[:, None] + height + offs_w[None, :], col_sum / height, mask=mask_m[:, None] & mask_w[None, :])


@triton.jit
def store_axis_gates(axis_mean_ptr, axis_gate_ptr, axis_xhat_ptr, axis_std_ptr, conv_w0_ptr, conv_w1_ptr, conv_w2_ptr,
                     conv_w3_ptr, conv_b0_ptr, conv_b1_ptr, conv_b2_ptr, conv_b3_ptr, norm_h_weight_ptr,
                     norm_h_bias_ptr, norm_w_weight_ptr, norm_w_bias_ptr, image, group, axis, channels, height, width,
                     kernel_size0, kernel_size1, kernel_size2, kernel_size3, NUM_GROUPS: tl.constexpr,
                     MAX_KERNEL_SIZE: tl.constexpr, EPS_H: tl.constexpr, EPS_W: tl.constexpr,
                     GATE_SCALE: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_L: tl.constexpr, ACC_DTYPE: tl.constexpr):
    """Store the row or column gates of one channel group: convolution, group norm, sigmoid (Eq. 2 to 6).

    ``axis`` is a tensor (A,): 0 for rows, 1 for columns. Tiles are (BLOCK_C, A, BLOCK_L).
    """
    conv_w_ptr = select_group(group, conv_w0_ptr, conv_w1_ptr, conv_w2_ptr, conv_w3_ptr)
    conv_b_ptr = select_group(group, conv_b0_ptr, conv_b1_ptr, conv_b2_ptr, conv_b3_ptr)
    kernel_size = select_group(group, kernel_size0, kernel_size1, kernel_size2, kernel_size3)
    group_size = channels // NUM_GROUPS
    length = tl.where(axis == 0, height, width)
    eps = tl.where(axis == 0, tl.full(axis.shape, EPS_H, ACC_DTYPE), tl.full(axis.shape, EPS_W, ACC_DTYPE))

    offs_c, offs_l = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_L)
    mask_c, channel = offs_c < group_size, group * group_size + offs_c
    mask = mask_c[:, None, None] & (offs_l[None, :] < length[:, None])[None, :, :]
    offs = (axis * height)[:, None] + offs_l[None, :]
    offs = ((image * channels + channel) * (height + width))[:, None, None] + offs[None, :, :]

    # depthwise convolution with zero padding
    z = tl.zeros_like(mask).to(ACC_DTYPE) + tl.load(conv_b_ptr + offs_c, mask=mask_c, other=0).to(
        ACC_DTYPE)[:, None, None]
    for tap in tl.static_range(MAX_KERNEL_SIZE):
        shift, mask_tap = tap - kernel_size // 2, offs_c < tl.where(kernel_size > tap, group_size, 0)
        in_map = ((offs_l + shift)[None, :] >= 0) & ((offs_l + shift)[None, :] < length[:, None])
        mean = tl.load(axis_mean_ptr + offs + shift, mask=mask_tap[:, None, None] & in_map[None, :, :], other=0)
        weight = tl.load(conv_w_ptr + offs_c * kernel_size + tap, mask=mask_tap, other=0).to(ACC_DTYPE)
        z += weight[:, None, None] * mean

    # group norm over the channels and positions of the group, separately for each axis
    mean = tl.sum(tl.sum(tl.where(mask, z, 0), 2), 0) / (group_size * length)
    z = tl.where(mask, z - mean[None, :, None], 0)
    std = tl.sqrt(tl.sum(tl.sum(z * z, 2), 0) / (group_size * length) + eps)
    z /= std[None, :, None]
    tl.store(axis_std_ptr + (image * NUM_GROUPS + group) * 2 + axis, std)
    tl.store(axis_xhat_ptr + offs, z, mask=mask)

    weight_h, bias_h = load_pair(norm_h_weight_ptr, norm_h_bias_ptr, channel, mask_c, ACC_DTYPE)
    weight_w, bias_w = load_pair(norm_w_weight_ptr, norm_w_bias_ptr, channel, mask_c, ACC_DTYPE)
    z *= tl.where((axis == 0)[None, :], weight_h[:, None], weight_w[:, None])[:, :, None]
    z += tl.where((axis == 0)[None, :], bias_h[:, None], bias_w[:, None])[:, :, None]
    tl.store(axis_gate_ptr + offs, gate(z, GATE_SCALE), mask=mask)


@triton.jit
def store_pooled(x_ptr, axis_gate_ptr, pooled_ptr, part_stats_ptr, image, start, end, part, num_parts, channels, height,
                 width, pooled_h, pooled_w, window_h, window_w, BLOCK_KH: tl.constexpr, BLOCK_KW: tl.constexpr,
                 BLOCK_PW: tl.constexpr, BLOCK_R: tl.constexpr, ACC_DTYPE: tl.constexpr):
    """Store the means of x a c over the windows of BLOCK_R window rows of an image, ``start`` up to ``end`` (Eq. 7, 8).

    An image has C * pooled_h window rows of pooled_w windows. Columns are indexed as (window, column in the window), so
    that a reshape separates the windows. The count, mean and sum of squared deviations of the part are stored too, for
    the group norm that follows.
    """
    offs_r = start + tl.arange(0, BLOCK_R)
    mask_r = offs_r < end
    offs_m, offs_ph = image * channels + offs_r // pooled_h, offs_r % pooled_h
    offs_kh, offs_col = tl.arange(0, BLOCK_KH), tl.arange(0, BLOCK_PW * BLOCK_KW)
    offs_h = offs_ph[:, None] * window_h + offs_kh[None, :]
    offs_w = offs_col // BLOCK_KW * window_w + offs_col % BLOCK_KW
    mask_h = mask_r[:, None] & (offs_kh < window_h)[None, :]
    mask_w = mask_r[:, None] & ((offs_col // BLOCK_KW < pooled_w) & (offs_col % BLOCK_KW < window_w))[None, :]

    x_ptrs = (x_ptr + offs_m.to(tl.int64) * (height * width))[:, None, None]
    x_ptrs += (offs_h * width)[:, :, None] + offs_w[None, None, :]
    x = tl.load(x_ptrs, mask=mask_h[:, :, None] & mask_w[:, None, :], other=0).to(ACC_DTYPE)
    gate_ptrs = axis_gate_ptr + (offs_m * (height + width))[:, None]
    row_gate = tl.load(gate_ptrs + offs_h, mask=mask_h, other=0)
    col_gate = tl.load(gate_ptrs + height + offs_w[None, :], mask=mask_w, other=0)
    gated = tl.reshape(tl.sum(x * row_gate[:, :, None], 1) * col_gate, [BLOCK_R, BLOCK_PW, BLOCK_KW])
    pooled = tl.sum(gated, 2) / (window_h * window_w)

    offs_pw = tl.arange(0, BLOCK_PW)
    mask = mask_r[:, None] & (offs_pw < pooled_w)[None, :]
    tl.store(pooled_ptr + (image * channels * pooled_h + offs_r)[:, None] * pooled_w + offs_pw[None, :], pooled,
             mask=mask)

    count = tl.minimum(end - start, BLOCK_R) * pooled_w
    mean = tl.sum(pooled) / count
    deviation = tl.where(mask, pooled - mean, 0)
    stats_ptr = part_stats_ptr + (image * num_parts + part) * 3
    tl.store(stats_ptr, count.to(ACC_DTYPE))
    tl.store(stats_ptr + 1, mean)
    tl.store(stats_ptr + 2, tl.sum(deviation * deviation))


@kernel
def axis_means_kernel(x_ptr, axis_mean_ptr, num_maps, height, width, BLOCK_M: tl.constexpr, BLOCK_H: tl.constexpr,
                      BLOCK_W: tl.constexpr, VEC: tl.constexpr, ACC_DTYPE: tl.constexpr, USE_PDL: tl.constexpr):
    """Compute the mean of each row and column (Eq. 1). First pass over x.

    Grid: (cdiv(M, BLOCK_M),)

    Args:
        x_ptr: Input (M, H, W).
        axis_mean_ptr: Output (M, H + W).
    """
    wait_for_inputs(USE_PDL)
    offs_m, mask_m, width = map_block(num_maps, width, BLOCK_M, VEC)
    store_axis_means(x_ptr, axis_mean_ptr, offs_m, mask_m, height, width, BLOCK_M, BLOCK_H, BLOCK_W, VEC, ACC_DTYPE)


@kernel
def axis_gates_kernel(axis_mean_ptr, axis_gate_ptr, axis_xhat_ptr, axis_std_ptr, conv_w0_ptr, conv_w1_ptr, conv_w2_ptr,
                      conv_w3_ptr, conv_b0_ptr, conv_b1_ptr, conv_b2_ptr, conv_b3_ptr, norm_h_weight_ptr,
                      norm_h_bias_ptr, norm_w_weight_ptr, norm_w_bias_ptr, channels, height, width, kernel_size0,
                      kernel_size1, kernel_size2, kernel_size3, NUM_GROUPS: tl.constexpr,
                      MAX_KERNEL_SIZE: tl.constexpr, EPS_H: tl.constexpr, EPS_W: tl.constexpr,
                      GATE_SCALE: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_L: tl.constexpr, ACC_DTYPE: tl.constexpr,
                      USE_PDL: tl.constexpr):
    """Compute a = gate(GroupNorm(Conv1d(row means))) and likewise c for columns (Eq. 2 to 6).

    Grid: (B, groups, 2), the last for rows and columns.

    Args:
        axis_mean_ptr: Row and column means (M, H + W).
        axis_gate_ptr: Output a and c (M, H + W).
        axis_xhat_ptr: Output (M, H + W), the group norms' results before weight and bias.
        axis_std_ptr: Output (B, groups, 2), the group norms' standard deviations.
        conv_w0_ptr: Convolution weights (C / groups, kernel_size0) of group 0, shared by both axes; w1 to w3 likewise.
        conv_b0_ptr: Convolution biases (C / groups,) of group 0; b1 to b3 likewise.
        norm_h_weight_ptr: Weight (C,) of the row norm; its bias and the column norm's parameters likewise.
    """
    wait_for_inputs(USE_PDL)
    axis = tl.program_id(2) + tl.arange(0, 1)
    store_axis_gates(axis_mean_ptr, axis_gate_ptr, axis_xhat_ptr, axis_std_ptr, conv_w0_ptr, conv_w1_ptr, conv_w2_ptr,
                     conv_w3_ptr, conv_b0_ptr, conv_b1_ptr, conv_b2_ptr, conv_b3_ptr, norm_h_weight_ptr,
                     norm_h_bias_ptr, norm_w_weight_ptr, norm_w_bias_ptr, tl.program_id(0), tl.program_id(1), axis,
                     channels, height, width, kernel_size0, kernel_size1, kernel_size2, kernel_size3, NUM_GROUPS,
                     MAX_KERNEL_SIZE, EPS_H, EPS_W, GATE_SCALE, BLOCK_C, BLOCK_L, ACC_DTYPE)


@kernel
def pool_kernel(x_ptr, axis_gate_ptr, pooled_ptr, part_stats_ptr, channels, height, width, pooled_h, pooled_w, window_h,
                window_w, num_parts, BLOCK_KH: tl.constexpr, BLOCK_KW: tl.constexpr, BLOCK_PW: tl.constexpr,
                BLOCK_R: tl.constexpr, ACC_DTYPE: tl.constexpr, USE_PDL: tl.constexpr):
    """Compute p = AvgPool(x a c) (Eq. 7 and 8). Second pass over x.

    Grid: (num_parts, B), where a part is BLOCK_R window rows of an image.

    Args:
        x_ptr: Input (M, H, W).
        axis_gate_ptr: a and c (M, H + W).
        pooled_ptr: Output p (M, pooled_h, pooled_w).
        part_stats_ptr: Output (B, num_parts, 3): count, mean and sum of squared deviations of each part.
    """
    wait_for_inputs(USE_PDL)
    part = tl.program_id(0)
    store_pooled(x_ptr, axis_gate_ptr, pooled_ptr, part_stats_ptr, tl.program_id(1), part * BLOCK_R,
                 channels * pooled_h, part, num_parts, channels, height, width, pooled_h, pooled_w, window_h, window_w,
                 BLOCK_KH, BLOCK_KW, BLOCK_PW, BLOCK_R, ACC_DTYPE)


@kernel
def fused_smsa_kernel(x_ptr, axis_mean_ptr, axis_gate_ptr, axis_xhat_ptr, axis_std_ptr, pooled_ptr, part_stats_ptr,
                      conv_w0_ptr, conv_w1_ptr, conv_w2_ptr, conv_w3_ptr, conv_b0_ptr, conv_b1_ptr, conv_b2_ptr,
                      conv_b3_ptr, norm_h_weight_ptr, norm_h_bias_ptr, norm_w_weight_ptr, norm_w_bias_ptr, channels,
                      height, width, pooled_h, pooled_w, window_h, window_w, num_parts, kernel_size0, kernel_size1,
                      kernel_size2, kernel_size3, NUM_GROUPS: tl.constexpr, MAX_KERNEL_SIZE: tl.constexpr,
                      EPS_H: tl.constexpr, EPS_W: tl.constexpr, GATE_SCALE: tl.constexpr, BLOCK_M: tl.constexpr,
                      BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr, VEC: tl.constexpr, BLOCK_C: tl.constexpr,
                      BLOCK_L: tl.constexpr, BLOCK_KH: tl.constexpr, BLOCK_KW: tl.constexpr, BLOCK_PW: tl.constexpr,
                      BLOCK_R: tl.constexpr, ACC_DTYPE: tl.constexpr, USE_PDL: tl.constexpr):
    """Do the work of axis_means_kernel, axis_gates_kernel and pool_kernel in one launch (Eq. 1 to 8).

    Used for batches with enough channel groups to fill the GPU. The second pass over x then mostly hits the cache.

    Grid: (B, groups). Arguments are those of the three kernels.
    """
    wait_for_inputs(USE_PDL)
    image, group = tl.program_id(0), tl.program_id(1)
    group_size, vec_width = channels // NUM_GROUPS, width // VEC * VEC
    for start_c in range(0, group_size, BLOCK_M):
        offs_c = start_c + tl.arange(0, BLOCK_M)
        store_axis_means(x_ptr, axis_mean_ptr, image * channels + group * group_size + offs_c, offs_c < group_size,
                         height, vec_width, BLOCK_M, BLOCK_H, BLOCK_W, VEC, ACC_DTYPE)
    tl.debug_barrier()  # other threads of the program load what was stored above
    store_axis_gates(axis_mean_ptr, axis_gate_ptr, axis_xhat_ptr, axis_std_ptr, conv_w0_ptr, conv_w1_ptr, conv_w2_ptr,
                     conv_w3_ptr, conv_b0_ptr, conv_b1_ptr, conv_b2_ptr, conv_b3_ptr, norm_h_weight_ptr,
                     norm_h_bias_ptr, norm_w_weight_ptr, norm_w_bias_ptr, image, group, tl.arange(0, 2), channels,
                     height, width, kernel_size0, kernel_size1, kernel_size2, kernel_size3, NUM_GROUPS,
                     MAX_KERNEL_SIZE, EPS_H, EPS_W, GATE_SCALE, BLOCK_C, BLOCK_L, ACC_DTYPE)
    tl.debug_barrier()
    group_rows, group_parts = group_size * pooled_h, num_parts // NUM_GROUPS
    for part in range(group_parts):
        store_pooled(x_ptr, axis_gate_ptr, pooled_ptr, part_stats_ptr, image, group * group_rows + part * BLOCK_R,
                     (group + 1) * group_rows, group * group_parts + part, num_parts, channels, height, width,
                     pooled_h, pooled_w, window_h, window_w, BLOCK_KH, BLOCK_KW, BLOCK_PW, BLOCK_R, ACC_DTYPE)


@kernel
def apply_gates_kernel(x_ptr, axis_gate_ptr, channel_logit_ptr, y_ptr, num_maps, height, width,
                       GATE_SCALE: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr,
                       VEC: tl.constexpr, ACC_DTYPE: tl.constexpr, USE_PDL: tl.constexpr):
    """Compute y = x a c g (Eq. 13). Third pass over x; writes y.

    Grid: (cdiv(M, BLOCK_M), cdiv(H, BLOCK_H))

    Args:
        x_ptr: Input (M, H, W).
        axis_gate_ptr: a and c (M, H + W).
        channel_logit_ptr: Logits of g (M,).
        y_ptr: Output (M, H, W).
    """
    wait_for_inputs(USE_PDL)
    offs_m, mask_m, width = map_block(num_maps, width, BLOCK_M, VEC)
    offs_h, offs_w = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H), tl.arange(0, BLOCK_W)
    mask_row = mask_m[:, None] & (offs_h < height)[None, :]
    mask_col = mask_m[:, None] & (offs_w < width)[None, :]
    mask = mask_row[:, :, None] & mask_col[:, None, :]
    x = tl.load(pixel_ptrs(x_ptr, offs_m, offs_h, offs_w, height, width, VEC), mask=mask, other=0).to(ACC_DTYPE)
    gate_ptrs = axis_gate_ptr + offs_m * (height + width)
    row_gate = tl.load(gate_ptrs[:, None] + offs_h[None, :], mask=mask_row, other=0)
    row_gate *= gate(tl.load(channel_logit_ptr + offs_m, mask=mask_m, other=0), GATE_SCALE)[:, None]
    col_gate = tl.load(gate_ptrs[:, None] + height + offs_w[None, :], mask=mask_col, other=0)
    y = x * (row_gate[:, :, None] * col_gate[:, None, :])
    tl.store(pixel_ptrs(y_ptr, offs_m, offs_h, offs_w, height, width, VEC), y.to(y_ptr.dtype.element_ty), mask=mask)
