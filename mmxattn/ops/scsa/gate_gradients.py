"""Gradients of SCSA's small parts, between the passes over the map: from a gate's logits back to its input.

They are written explicitly because autograd is disabled inside a registered operator.
"""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .params import Params

__all__ = ['axis_logits_backward', 'channel_logits_backward']


def channel_logits_backward(grad: Tensor, pooled: Tensor, params: Params, eps: float) -> tuple[Tensor, list[Tensor]]:
    """Differentiate the channel attention (Eq. 9 to 12).

    With A = softmax(Q K^T / sqrt(C)), the logits are A m for the means m of V over pixels.

    Args:
        grad: Gradient of the logits, of shape (B, C).
        pooled: Pooled map of shape (B, C, N).
        params: Parameters of the operator.
        eps: Epsilon of the norm.

    Returns:
        Gradient of ``pooled``, and those of the norm's weight and bias and of the weights of q, k and v.
    """
    scale = pooled.shape[1]**-0.5
    x, *moments = torch.native_group_norm(pooled, *params.norm, *pooled.shape, 1, eps)
    w_q, w_k, w_v = (weight.flatten(1) for weight in params.projections)  # (C, 1)
    q, k, means = x * (w_q * scale), x * w_k, x.mean(2, keepdim=True) * w_v  # (B, C, N), (B, C, N), (B, C, 1)
    attn = (q @ k.mT).softmax(2)  # (B, C, C)
    grad = grad.unsqueeze(2)
    grad_means = attn.mT @ grad
    grad_scores = (means.mT - attn @ means).mul_(attn).mul_(grad)
    grad_q, grad_k = grad_scores @ k * scale, grad_scores.mT @ q
    grad_x = grad_q * w_q + grad_k * w_k + grad_means * w_v / pooled.shape[2]
    grads = [(g * x).sum((0, 2)) for g in (grad_q, grad_k)] + [(grad_means * x.mean(2, keepdim=True)).sum((0, 2))]
    grad_pooled, *grads_norm = norm_backward(grad_x, pooled, params.norm[0], 1, moments)
    return grad_pooled, [*grads_norm, *(g.view_as(w) for g, w in zip(grads, params.projections))]


def axis_logits_backward(grads: Sequence[Tensor], means: Sequence[Tensor], params: Params,
                         eps: Sequence[float]) -> tuple[list[Tensor], list[Tensor]]:
    """Differentiate the convolutions and norms of the row and column means (Eq. 2 to 6).

    One depthwise convolution, with kernels padded to the longest, takes both sequences of all groups.

    Args:
        grads: Gradients of the logits, of shapes (B, C, H) and (B, C, W).
        means: Row and column means of the same shapes.
        params: Parameters of the operator.
        eps: Epsilons of norm_h and norm_w.

    Returns:
        Gradients of ``means``, and those of the convolutions' weights and biases and of the weights and biases of
        norm_h and norm_w.
    """
    (batch, channels, height), width = means[0].shape, means[1].shape[2]
    groups, sizes = len(params.conv_weights), [weight.shape[2] for weight in params.conv_weights]
    pad = max(sizes) // 2
    weight = torch.cat([F.pad(w, [pad - w.shape[2] // 2] * 2) for w in params.conv_weights]).unsqueeze(3)
    x = torch.cat((means[0], means[0].new_zeros(batch, channels, pad), means[1]), 2).unsqueeze(3)
    x = x.contiguous(memory_format=torch.channels_last)  # convolutions are twice as fast
    out = F.conv2d(x, weight, torch.cat(list(params.conv_biases)), padding=(pad, 0), groups=channels)
    grad_out, grads_norm = torch.zeros_like(out), []
    for side, grad, norm, e in ((slice(0, height), grads[0], params.norm_h, eps[0]),
                                (slice(-width, None), grads[1], params.norm_w, eps[1])):
        sequence = out[:, :, side, 0].contiguous()
        _, *moments = torch.native_group_norm(sequence, *norm, *sequence.shape, groups, e)
        grad_out[:, :, side, 0], *grad_norm = norm_backward(grad, sequence, norm[0], groups, moments)
        grads_norm += grad_norm
    grad_x, grad_weight, grad_bias = torch.ops.aten.convolution_backward(
        grad_out, x, weight, [channels], [1, 1], [pad, 0], [1, 1], False, [0, 0], channels, [True] * 3)
    grads_weight = [g[:, :, pad - k // 2:pad + k // 2 + 1, 0] for g, k in zip(grad_weight.chunk(groups), sizes)]
    return ([grad_x[:, :, :height, 0], grad_x[:, :, -width:, 0]],
            [*(g.clone() for g in (*grads_weight, *grad_bias.chunk(groups))), *grads_norm])  # outputs must not overlap


def norm_backward(grad: Tensor, x: Tensor, weight: Tensor, groups: int, moments: Sequence[Tensor]) -> list[Tensor]:
    """Differentiate a group norm of x (B, C, L): gradients of x, weight and bias."""
    return list(torch.ops.aten.native_group_norm_backward(
        grad.contiguous(), x, *moments, weight, *x.shape, groups, [True] * 3))
