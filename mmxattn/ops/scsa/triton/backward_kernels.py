"""Backward kernels of SCSA, except the channel attention.

A kernel sees an input (B, C, H, W) as M = B * C maps (H, W). An axis tensor (M, H + W) holds one value for each row of
a map, followed by one for each column. The package's docstring explains the notation.
"""
import triton
import triton.language as tl

from .common import gate, kernel, map_block, pixel_ptrs, select_group, wait_for_inputs

__all__ = ['axis_gates_bwd_kernel', 'axis_logit_grads_kernel', 'gate_grad_sums_kernel', 'input_grad_kernel']


@kernel
def gate_grad_sums_kernel(x_ptr, grad_y_ptr, axis_xhat_ptr, channel_logit_ptr, axis_mean_ptr, axis_gate_ptr,
                          axis_sum_ptr, grad_channel_logit_ptr, norm_h_weight_ptr, norm_h_bias_ptr, norm_w_weight_ptr,
                          norm_w_bias_ptr, num_maps, channels, height, width, GATE_SCALE: tl.constexpr,
                          BLOCK_M: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr, VEC: tl.constexpr,
                          ACC_DTYPE: tl.constexpr, USE_PDL: tl.constexpr):
    """Reduce x * dL/dy to the sums from which the gates' gradients are computed. First pass over x and dL/dy.

    With G = dL/dy: sums over columns of x G c, sums over rows of x G a, and dL/dg = sum of x G a c. The means and gates
    of rows and columns are recomputed, which takes less time than storing them in forward.

    Grid: (cdiv(M, BLOCK_M),)

    Args:
        x_ptr: Input (M, H, W).
        grad_y_ptr: dL/dy (M, H, W).
        axis_xhat_ptr: Saved by axis_gates_kernel (M, H + W).
        channel_logit_ptr: Logits of g (M,).
        axis_mean_ptr: Output (M, H + W).
        axis_gate_ptr: Output a and c (M, H + W).
        axis_sum_ptr: Output sums (M, H + W).
        grad_channel_logit_ptr: Output, gradients of the logits of g (M,).
        norm_h_weight_ptr: Weight (C,) of the row norm; its bias and the column norm's parameters likewise.
    """
    wait_for_inputs(USE_PDL)
    offs_m, mask_m, width = map_block(num_maps, width, BLOCK_M, VEC)
    channel, axis_offs = offs_m % channels, offs_m * (height + width)
    offs_w = tl.arange(0, BLOCK_W)
    mask_col, col_offs = mask_m[:, None] & (offs_w < width)[None, :], axis_offs[:, None] + height + offs_w[None, :]
    logit = tl.load(axis_xhat_ptr + col_offs, mask=mask_col, other=0)
    logit *= tl.load(norm_w_weight_ptr + channel).to(ACC_DTYPE)[:, None]
    col_gate = gate(logit + tl.load(norm_w_bias_ptr + channel).to(ACC_DTYPE)[:, None], GATE_SCALE)
    tl.store(axis_gate_ptr + col_offs, col_gate, mask=mask_col)
    weight_h = tl.load(norm_h_weight_ptr + channel).to(ACC_DTYPE)[:, None]
    bias_h = tl.load(norm_h_bias_ptr + channel).to(ACC_DTYPE)[:, None]

    col_mean, col_sum = tl.zeros([BLOCK_M, BLOCK_W], ACC_DTYPE), tl.zeros([BLOCK_M, BLOCK_W], ACC_DTYPE)
    grad_g = tl.zeros([BLOCK_M], ACC_DTYPE)
    for start_h in range(0, height, BLOCK_H):
        offs_h = start_h + tl.arange(0, BLOCK_H)
        mask_row, row_offs = mask_m[:, None] & (offs_h < height)[None, :], axis_offs[:, None] + offs_h[None, :]
        mask = mask_row[:, :, None] & mask_col[:, None, :]
        x = tl.load(pixel_ptrs(x_ptr, offs_m, offs_h, offs_w, height, width, VEC), mask=mask, other=0).to(ACC_DTYPE)
        grad_y = tl.load(pixel_ptrs(grad_y_ptr, offs_m, offs_h, offs_w, height, width, VEC), mask=mask, other=0).to(
            ACC_DTYPE)
        row_gate = gate(tl.load(axis_xhat_ptr + row_offs, mask=mask_row, other=0) * weight_h + bias_h, GATE_SCALE)
        tl.store(axis_gate_ptr + row_offs, row_gate, mask=mask_row)
        tl.store(axis_mean_ptr + row_offs, tl.sum(x, 2) / width, mask=mask_row)
        col_mean += tl.sum(x, 1)
        x *= grad_y
        row_sum = tl.sum(x * col_gate[:, None, :], 2)
        tl.store(axis_sum_ptr + row_offs, row_sum, mask=mask_row)
        col_sum += tl.sum(x * row_gate[:, :, None], 1)
        grad_g += tl.sum(row_sum * row_gate, 1)
    tl.store(axis_mean_ptr + col_offs, col_mean / height, mask=mask_col)
    tl.store(axis_sum_ptr + col_offs, col_sum, mask=mask_col)
    g = gate(tl.load(channel_logit_ptr + offs_m, mask=mask_m, other=0), GATE_SCALE)
    tl.store(grad_channel_logit_ptr + offs_m, grad_g * g * (1 - g / GATE_SCALE), mask=mask_m)


@kernel
def axis_logit_grads_kernel(x_ptr, pooled_ptr, pooled_stats_ptr, channel_logit_ptr, axis_gate_ptr, axis_sum_ptr,
                            grad_normed_ptr, grad_pooled_ptr, grad_axis_logit_ptr, norm_weight_ptr,
                            grad_norm_weight_ptr, grad_norm_bias_ptr, num_maps, channels, height, width, pooled_h,
                            pooled_w, window_h, window_w, stride_grad_b, GATE_SCALE: tl.constexpr,
                            BLOCK_M: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr, VEC: tl.constexpr,
                            BLOCK_C: tl.constexpr, BLOCK_PH: tl.constexpr, ACC_DTYPE: tl.constexpr,
                            USE_PDL: tl.constexpr):
    """Compute dL/dp and the gradients of the row and column logits. Second pass over x.

    The gate of a row has a gradient through y, which is g * axis_sum, and one through p, which is the sum over columns
    of x c dL/dp, divided by the area of a window. The same holds for columns.

    Grid: (cdiv(M, BLOCK_M),), where the BLOCK_M maps of a program belong to one image.

    Args:
        x_ptr: Input (M, H, W).
        pooled_ptr: p (M, pooled_h, pooled_w).
        pooled_stats_ptr: Mean and standard deviation of p (B, 2).
        channel_logit_ptr: Logits of g (M,).
        axis_gate_ptr: a and c (M, H + W).
        axis_sum_ptr: Sums from gate_grad_sums_kernel (M, H + W).
        grad_normed_ptr: dL/dn (M, pooled_h, pooled_w).
        grad_pooled_ptr: Output (M, pooled_h, W): dL/dp over the window's area, repeated for each column of the window.
        grad_axis_logit_ptr: Output (M, H + W).
        norm_weight_ptr: Weight (C,) of the norm of p.
        grad_norm_weight_ptr: An image's part of the norm's weight gradient (B, C), stride ``stride_grad_b``; bias too.
    """
    wait_for_inputs(USE_PDL)
    offs_m, mask_m, width = map_block(num_maps, width, BLOCK_M, VEC)
    num_pixels, window_area = pooled_h * pooled_w, window_h * window_w
    channel, image, axis_offs = offs_m % channels, tl.program_id(0) * BLOCK_M // channels, offs_m * (height + width)

    # backward of the norm: dp = (w dn - mean(w dn) - xhat mean(w dn xhat)) / std; the means come from its parameters'
    # gradients
    mean, std = tl.load(pooled_stats_ptr + image * 2), tl.load(pooled_stats_ptr + image * 2 + 1)
    offs_c = tl.arange(0, BLOCK_C)
    mask_c, grad_offs = offs_c < channels, image * stride_grad_b + offs_c
    weight = tl.load(norm_weight_ptr + offs_c, mask=mask_c, other=0).to(ACC_DTYPE)
    mean_dxhat_xhat = tl.sum(weight * tl.load(grad_norm_weight_ptr + grad_offs, mask=mask_c, other=0))
    mean_dxhat_xhat /= channels * num_pixels
    mean_dxhat = tl.sum(weight * tl.load(grad_norm_bias_ptr + grad_offs, mask=mask_c, other=0))
    mean_dxhat /= channels * num_pixels
    weight = tl.load(norm_weight_ptr + channel).to(ACC_DTYPE)[:, None, None]
    offs_w = tl.arange(0, BLOCK_W)
    offs_pw = offs_w // window_w
    mask_col, col_offs = mask_m[:, None] & (offs_w < width)[None, :], axis_offs[:, None] + height + offs_w[None, :]
    grad_pooled_ptrs = grad_pooled_ptr + (offs_m * (pooled_h * width))[:, None, None]
    for start_ph in range(0, pooled_h, BLOCK_PH):
        offs_ph = start_ph + tl.arange(0, BLOCK_PH)
        mask_ph = mask_m[:, None] & (offs_ph < pooled_h)[None, :]
        mask = mask_ph[:, :, None] & (mask_col & (offs_pw < pooled_w)[None, :])[:, None, :]
        offs = (offs_m * num_pixels)[:, None, None]
        offs = offs + ((offs_ph * pooled_w)[None, :, None] + offs_pw[None, None, :])
        grad = tl.load(grad_normed_ptr + offs, mask=mask, other=0) * weight - mean_dxhat
        grad -= (tl.load(pooled_ptr + offs, mask=mask, other=0) - mean) / std * mean_dxhat_xhat
        tl.store(grad_pooled_ptrs + ((offs_ph * width)[None, :, None] + offs_w[None, None, :]),
                 tl.where(mask, grad / (std * window_area), 0), mask=mask_ph[:, :, None] & mask_col[:, None, :])
    tl.debug_barrier()  # other threads of the program load what was stored above

    g = gate(tl.load(channel_logit_ptr + offs_m, mask=mask_m, other=0), GATE_SCALE)[:, None]
    col_gate = tl.load(axis_gate_ptr + col_offs, mask=mask_col, other=0)
    col_grad = tl.load(axis_sum_ptr + col_offs, mask=mask_col, other=0) * g
    for start_h in range(0, height, BLOCK_H):
        offs_h = start_h + tl.arange(0, BLOCK_H)
        offs_ph = offs_h // window_h
        mask_row, row_offs = mask_m[:, None] & (offs_h < height)[None, :], axis_offs[:, None] + offs_h[None, :]
        mask = (mask_row & (offs_ph < pooled_h)[None, :])[:, :, None] & mask_col[:, None, :]
        x = tl.load(pixel_ptrs(x_ptr, offs_m, offs_h, offs_w, height, width, VEC), mask=mask, other=0).to(ACC_DTYPE)
        x *= tl.load(grad_pooled_ptrs + ((offs_ph * width)[None, :, None] + offs_w[None, None, :]), mask=mask, other=0)
        row_gate = tl.load(axis_gate_ptr + row_offs, mask=mask_row, other=0)
        row_grad = tl.load(axis_sum_ptr + row_offs, mask=mask_row, other=0) * g
        row_grad += tl.sum(x * col_gate[:, None, :], 2)
        tl.store(grad_axis_logit_ptr + row_offs, row_grad * row_gate * (1 - row_gate / GATE_SCALE), mask=mask_row)
        col_grad += tl.sum(x * row_gate[:, :, None], 1)
    tl.store(grad_axis_logit_ptr + col_offs, col_grad * col_gate * (1 - col_gate / GATE_SCALE), mask=mask_col)


@triton.jit
def norm_grad_means(grad_axis_logit_ptr, axis_xhat_ptr, offs, mask, weight, numel):
    """Return the means of dxhat and of dxhat * xhat over a channel group (BLOCK_C, BLOCK_L), for norm_backward."""
    dxhat = tl.load(grad_axis_logit_ptr + offs, mask=mask, other=0) * weight[:, None]
    xhat = tl.load(axis_xhat_ptr + offs, mask=mask, other=0)
    return tl.sum(dxhat) / numel, tl.sum(dxhat * xhat) / numel


@triton.jit
def norm_backward(grad_axis_logit_ptr, axis_xhat_ptr, offs, mask, weight, std, mean_dxhat, mean_dxhat_xhat):
    """Return the gradient of the group norm's input: (dxhat - mean(dxhat) - xhat mean(dxhat xhat)) / std."""
    dxhat = tl.load(grad_axis_logit_ptr + offs, mask=mask, other=0) * weight[:, None]
    xhat = tl.load(axis_xhat_ptr + offs, mask=mask, other=0)
    return tl.where(mask, (dxhat - mean_dxhat - xhat * mean_dxhat_xhat) / std, 0)


@triton.jit
def store_norm_param_grads(grad_weight_ptr, grad_bias_ptr, grad_axis_logit_ptr, axis_xhat_ptr, offs, mask, param_offs,
                           mask_c):
    """Store the gradients of the weight and bias of the norm of one axis."""
    grad = tl.load(grad_axis_logit_ptr + offs, mask=mask, other=0)
    xhat = tl.load(axis_xhat_ptr + offs, mask=mask, other=0)
    tl.store(grad_weight_ptr + param_offs, tl.sum(grad * xhat, 1), mask=mask_c)
    tl.store(grad_bias_ptr + param_offs, tl.sum(grad, 1), mask=mask_c)


@kernel
def axis_gates_bwd_kernel(axis_mean_ptr, axis_xhat_ptr, axis_std_ptr, grad_axis_logit_ptr, grad_axis_mean_ptr,
                          conv_w0_ptr, conv_w1_ptr, conv_w2_ptr, conv_w3_ptr, norm_h_weight_ptr, norm_w_weight_ptr,
                          grad_conv_weight_ptr, grad_conv_bias_ptr, grad_norm_h_weight_ptr, grad_norm_h_bias_ptr,
                          grad_norm_w_weight_ptr, grad_norm_w_bias_ptr, channels, height, width, kernel_size0,
                          kernel_size1, kernel_size2, kernel_size3, stride_grad_b, NUM_GROUPS: tl.constexpr,
                          MAX_KERNEL_SIZE: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_CB: tl.constexpr,
                          BLOCK_LH: tl.constexpr, BLOCK_LW: tl.constexpr, ACC_DTYPE: tl.constexpr,
                          USE_PDL: tl.constexpr):
    """Backward of axis_gates_kernel: gradients of the means, and an image's part of the parameters' gradients.

    Grid: (B, groups, cdiv(C / groups, BLOCK_CB)). A program reduces over its whole group for the norm, and computes the
    gradients of BLOCK_CB channels.

    Args:
        axis_mean_ptr: Row and column means (M, H + W).
        axis_xhat_ptr: Saved by axis_gates_kernel (M, H + W).
        axis_std_ptr: Saved by axis_gates_kernel (B, groups, 2).
        grad_axis_logit_ptr: Gradients of the logits of a and c (M, H + W).
        grad_axis_mean_ptr: Output (M, H + W): dL/dmean, divided by the number of pixels averaged.
        conv_w0_ptr: Convolution weights (C / groups, kernel_size0) of group 0; w1 to w3 likewise.
        norm_h_weight_ptr: Weight (C,) of the row norm; the column norm's likewise.
        grad_conv_weight_ptr: Output: the gradients of all groups' weights concatenated, with stride ``stride_grad_b``.
        grad_conv_bias_ptr: Output (B, C) with stride ``stride_grad_b``; the norms' gradients likewise.
    """
    wait_for_inputs(USE_PDL)
    image, group = tl.program_id(0), tl.program_id(1)
    conv_w_ptr = select_group(group, conv_w0_ptr, conv_w1_ptr, conv_w2_ptr, conv_w3_ptr)
    kernel_size = select_group(group, kernel_size0, kernel_size1, kernel_size2, kernel_size3)
    taps_before = select_group(group, 0, kernel_size0, kernel_size0 + kernel_size1,
                               kernel_size0 + kernel_size1 + kernel_size2)
    group_size, axis_length, grad_offs = channels // NUM_GROUPS, height + width, image * stride_grad_b
    std_ptr = axis_std_ptr + (image * NUM_GROUPS + group) * 2
    std_h, std_w = tl.load(std_ptr), tl.load(std_ptr + 1)
    offs_h, offs_w = tl.arange(0, BLOCK_LH), tl.arange(0, BLOCK_LW)

    # the whole group
    offs_c = tl.arange(0, BLOCK_C)
    mask_c, channel = offs_c < group_size, group * group_size + offs_c
    axis_offs = (image * channels + channel) * axis_length
    weight = tl.load(norm_h_weight_ptr + channel, mask=mask_c, other=0).to(ACC_DTYPE)
    mean_dxhat_h, mean_dxhat_xhat_h = norm_grad_means(
        grad_axis_logit_ptr, axis_xhat_ptr, axis_offs[:, None] + offs_h[None, :],
        mask_c[:, None] & (offs_h < height)[None, :], weight, group_size * height)
    weight = tl.load(norm_w_weight_ptr + channel, mask=mask_c, other=0).to(ACC_DTYPE)
    mean_dxhat_w, mean_dxhat_xhat_w = norm_grad_means(
        grad_axis_logit_ptr, axis_xhat_ptr, axis_offs[:, None] + height + offs_w[None, :],
        mask_c[:, None] & (offs_w < width)[None, :], weight, group_size * width)

    # this program's channels
    offs_c = tl.program_id(2) * BLOCK_CB + tl.arange(0, BLOCK_CB)
    mask_c, channel = offs_c < group_size, group * group_size + offs_c
    axis_offs = (image * channels + channel) * axis_length
    row_offs, col_offs = axis_offs[:, None] + offs_h[None, :], axis_offs[:, None] + height + offs_w[None, :]
    mask_row, mask_col = mask_c[:, None] & (offs_h < height)[None, :], mask_c[:, None] & (offs_w < width)[None, :]
    store_norm_param_grads(grad_norm_h_weight_ptr, grad_norm_h_bias_ptr, grad_axis_logit_ptr, axis_xhat_ptr, row_offs,
                           mask_row, grad_offs + channel, mask_c)
    store_norm_param_grads(grad_norm_w_weight_ptr, grad_norm_w_bias_ptr, grad_axis_logit_ptr, axis_xhat_ptr, col_offs,
                           mask_col, grad_offs + channel, mask_c)
    weight_h = tl.load(norm_h_weight_ptr + channel, mask=mask_c, other=0).to(ACC_DTYPE)
    weight_w = tl.load(norm_w_weight_ptr + channel, mask=mask_c, other=0).to(ACC_DTYPE)
    grad_h = norm_backward(grad_axis_logit_ptr, axis_xhat_ptr, row_offs, mask_row, weight_h, std_h, mean_dxhat_h,
                           mean_dxhat_xhat_h)
    grad_w = norm_backward(grad_axis_logit_ptr, axis_xhat_ptr, col_offs, mask_col, weight_w, std_w, mean_dxhat_w,
                           mean_dxhat_xhat_w)
    tl.store(grad_conv_bias_ptr + grad_offs + channel, tl.sum(grad_h, 1) + tl.sum(grad_w, 1), mask=mask_c)

    # convolution: correlating grad with the means gives the gradients of the weights; convolving grad with the weights
    # gives those of the means
    mean_grad_h, mean_grad_w = tl.zeros([BLOCK_CB, BLOCK_LH], ACC_DTYPE), tl.zeros([BLOCK_CB, BLOCK_LW], ACC_DTYPE)
    for tap in tl.static_range(MAX_KERNEL_SIZE):
        shift, mask_tap = tap - kernel_size // 2, offs_c < tl.where(kernel_size > tap, group_size, 0)
        pos_h, pos_w = offs_h + shift, offs_w + shift
        mean_h = tl.load(axis_mean_ptr + row_offs + shift,
                         mask=mask_tap[:, None] & ((pos_h >= 0) & (pos_h < height))[None, :], other=0)
        mean_w = tl.load(axis_mean_ptr + col_offs + shift,
                         mask=mask_tap[:, None] & ((pos_w >= 0) & (pos_w < width))[None, :], other=0)
        tl.store(grad_conv_weight_ptr + grad_offs + taps_before * group_size + offs_c * kernel_size + tap,
                 tl.sum(grad_h * mean_h, 1) + tl.sum(grad_w * mean_w, 1), mask=mask_tap)
        weight = tl.load(conv_w_ptr + offs_c * kernel_size + tap, mask=mask_tap, other=0).to(ACC_DTYPE)[:, None]
        pos_h, pos_w = offs_h - shift, offs_w - shift
        mean_grad_h += weight * norm_backward(
            grad_axis_logit_ptr, axis_xhat_ptr, row_offs - shift,
            mask_tap[:, None] & ((pos_h >= 0) & (pos_h < height))[None, :], weight_h, std_h, mean_dxhat_h,
            mean_dxhat_xhat_h)
        mean_grad_w += weight * norm_backward(
            grad_axis_logit_ptr, axis_xhat_ptr, col_offs - shift,
            mask_tap[:, None] & ((pos_w >= 0) & (pos_w < width))[None, :], weight_w, std_w, mean_dxhat_w,
            mean_dxhat_xhat_w)
    tl.store(grad_axis_mean_ptr + row_offs, mean_grad_h / width, mask=mask_row)
    tl.store(grad_axis_mean_ptr + col_offs, mean_grad_w / height, mask=mask_col)


@kernel
def input_grad_kernel(grad_y_ptr, channel_logit_ptr, axis_gate_ptr, grad_axis_mean_ptr, grad_pooled_ptr, grad_x_ptr,
                      num_maps, height, width, pooled_h, window_h, GATE_SCALE: tl.constexpr, BLOCK_M: tl.constexpr,
                      BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr, VEC: tl.constexpr, ACC_DTYPE: tl.constexpr,
                      USE_PDL: tl.constexpr):
    """Compute dL/dx = (dL/dy g + dL/dp / area) a c + dL/dmean / numel. Second pass over dL/dy; writes dL/dx.

    Grid: (cdiv(M, BLOCK_M), cdiv(H, BLOCK_H))

    Args:
        grad_y_ptr: dL/dy (M, H, W).
        channel_logit_ptr: Logits of g (M,).
        axis_gate_ptr: a and c (M, H + W).
        grad_axis_mean_ptr: From axis_gates_bwd_kernel (M, H + W).
        grad_pooled_ptr: From axis_logit_grads_kernel (M, pooled_h, W).
        grad_x_ptr: Output (M, H, W).
    """
    wait_for_inputs(USE_PDL)
    offs_m, mask_m, width = map_block(num_maps, width, BLOCK_M, VEC)
    offs_h, offs_w = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H), tl.arange(0, BLOCK_W)
    offs_ph = offs_h // window_h
    mask_row = mask_m[:, None] & (offs_h < height)[None, :]
    mask_col = mask_m[:, None] & (offs_w < width)[None, :]
    row_offs = (offs_m * (height + width))[:, None] + offs_h[None, :]
    col_offs = (offs_m * (height + width))[:, None] + height + offs_w[None, :]
    mask = mask_row[:, :, None] & mask_col[:, None, :]
    grad = tl.load(pixel_ptrs(grad_y_ptr, offs_m, offs_h, offs_w, height, width, VEC), mask=mask, other=0).to(ACC_DTYPE)
    grad *= gate(tl.load(channel_logit_ptr + offs_m, mask=mask_m, other=0), GATE_SCALE)[:, None, None]
    grad_pooled_ptrs = grad_pooled_ptr + (offs_m * (pooled_h * width))[:, None, None]
    grad += tl.load(grad_pooled_ptrs + ((offs_ph * width)[None, :, None] + offs_w[None, None, :]),
                    mask=(mask_row & (offs_ph < pooled_h)[None, :])[:, :, None] & mask_col[:, None, :], other=0)
    grad *= tl.load(axis_gate_ptr + row_offs, mask=mask_row, other=0)[:, :, None]
    grad *= tl.load(axis_gate_ptr + col_offs, mask=mask_col, other=0)[:, None, :]
    grad += tl.load(grad_axis_mean_ptr + row_offs, mask=mask_row, other=0)[:, :, None]
    grad += tl.load(grad_axis_mean_ptr + col_offs, mask=mask_col, other=0)[:, None, :]
    tl.store(pixel_ptrs(grad_x_ptr, offs_m, offs_h, offs_w, height, width, VEC), grad.to(grad_x_ptr.dtype.element_ty),
             mask=mask)
