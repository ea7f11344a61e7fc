"""SCSA: spatial and channel synergistic attention.

Paper: Si et al., "SCSA: Exploring the Synergistic Effects Between Spatial and Channel Attention".

A spatial part, SMSA, gates each row and each column of a map by what 1-D convolutions of several lengths see in it;
a channel part, PCSA, gates each channel by self-attention between the channels of the map so gated.

Beside the paper's text:
* the map is read and written four times, not nine: the row-wise and the column-wise gate are never multiplied into a
  map of their own (``gated_maps.py``), and the channel gate goes into the row-wise one, (x * a_h * a_w) * a_c =
  x * (a_h * a_c) * a_w;
* the four convolutions are one, and the depthwise 1x1 convolutions of Eq. 10 are products with a scale a channel;
* ``zero_init`` (not in the paper) doubles the gates and starts each of them at exactly 1.
"""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .gated_maps import axis_means, gate_map, gated_average_pool

__all__ = ['SCSA']


class SCSA(nn.Module):
    """Spatial and channel synergistic attention (Eq. 13): gates a map, and keeps its shape.

    Parameters carry the names of the authors' release, so that their checkpoints load. With the default kernels
    there are 16 parameters a channel.

    Args:
        channels: channels C of the map, divisible by 4, the number of kernels.
        kernel_sizes: length of the 1-D convolution of each channel group, four odd numbers.
        window_size: side of the average-pooling window before the channel attention, in pixels. It shrinks to the
            map where the map is smaller.
        zero_init: start as the identity. Gates are then 2 * sigmoid, and the last affine before each is zero.

    Shape:
        (B, C, H, W) -> (B, C, H, W), for any H, W >= 1.

    Raises:
        ValueError: channels not divisible by the number of kernels, kernel sizes that are not four odd numbers, or a
            window smaller than 1.
    """

    def __init__(self,
                 channels: int,
                 kernel_sizes: Sequence[int] = (3, 5, 7, 9),
                 window_size: int = 7,
                 zero_init: bool = False):
        super().__init__()
        if len(kernel_sizes) != 4 or any(k < 1 or k % 2 == 0 for k in kernel_sizes):
            raise ValueError(f'SCSA: kernel_sizes={tuple(kernel_sizes)} must be four odd lengths, as (3, 5, 7, 9) are.')
        if channels < 4 or channels % 4:
            raise ValueError(f'SCSA: channels={channels} is not divisible by its 4 channel groups.')
        if window_size < 1:
            raise ValueError(f'SCSA: window_size={window_size} must be at least 1 pixel.')
        self.window_size = window_size
        self.zero_init = zero_init

        group = channels // 4
        self.local_dwc, self.global_dwc_s, self.global_dwc_m, self.global_dwc_l = (
            nn.Conv1d(group, group, k, padding=k // 2, groups=group) for k in kernel_sizes)
        self.norm_h = nn.GroupNorm(4, channels)
        self.norm_w = nn.GroupNorm(4, channels)
        self.norm = nn.GroupNorm(1, channels)
        self.q, self.k, self.v = (nn.Conv2d(channels, channels, 1, groups=channels, bias=False) for _ in range(3))
        if zero_init:
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew, whatever a host model has made of them."""
        for child in self.children():
            child.reset_parameters()
        if self.zero_init:
            for norm in (self.norm_h, self.norm_w):
                nn.init.zeros_(norm.weight)
            nn.init.zeros_(self.v.weight)

    def gate(self, logits: Tensor) -> Tensor:
        """Sigmoid, doubled with ``zero_init`` so that a logit of 0 leaves the map alone."""
        return 2 * logits.sigmoid() if self.zero_init else logits.sigmoid()

    def kernel(self) -> tuple[Tensor, Tensor]:
        """Weight (C, 1, k, 1) and bias (C,) of one convolution that does the four groups' at once.

        Shorter kernels are padded with zeros to the longest.
        """
        convs = (self.local_dwc, self.global_dwc_s, self.global_dwc_m, self.global_dwc_l)
        longest = max(conv.kernel_size[0] for conv in convs)
        margins = [(longest - conv.kernel_size[0]) // 2 for conv in convs]
        weights = [F.pad(conv.weight, (margin, margin)) for conv, margin in zip(convs, margins)]
        return torch.cat(weights).unsqueeze(3), torch.cat([conv.bias for conv in convs])

    def spatial_gate(self, means: Tensor, weight: Tensor, bias: Tensor, norm: nn.Module) -> Tensor:
        """SMSA along one axis: (B, C, L, 1) -> gate (B, C, L). The same convolutions serve both axes (Eq. 2 to 6)."""
        if means.device.type == 'cpu':  # which convolves a channel at a time up to four times as fast in this order
            means = means.contiguous(memory_format=torch.channels_last)
        x = F.conv2d(means, weight, bias, padding=(weight.shape[2] // 2, 0), groups=means.shape[1])
        return self.gate(norm(x.squeeze(3)))

    def channel_gate(self, x: Tensor) -> Tensor:
        """PCSA: pooled map (B, C, h, w) -> gate (B, C, 1). Attention is between channels; pixels are their features."""
        x = self.norm(x).flatten(2)  # (B, C, N)
        q, k, v = (x * proj.weight.flatten(1) for proj in (self.q, self.k, self.v))  # Eq. 10
        x = F.scaled_dot_product_attention(*(y.unsqueeze(1) for y in (q, k, v)), scale=x.shape[1]**-0.5)  # Eq. 11
        return self.gate(x.squeeze(1).mean(2, keepdim=True))  # Eq. 12

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        means_of_rows, means_of_columns, x = axis_means(x)  # Eq. 1
        kernel = self.kernel()
        rows = self.spatial_gate(means_of_rows, *kernel, self.norm_h).unsqueeze(3).to(x.dtype)  # (B, C, H, 1)
        columns = self.spatial_gate(means_of_columns.transpose(2, 3), *kernel, self.norm_w)
        columns = columns.unsqueeze(2).to(x.dtype)  # (B, C, 1, W)
        window = min(self.window_size, height), min(self.window_size, width)
        pooled, x = gated_average_pool(x, rows, columns, window)  # Eq. 7 and 8
        channels = self.channel_gate(pooled).unsqueeze(3).to(x.dtype)  # (B, C, 1, 1)
        return gate_map(x, rows * channels, columns)  # Eq. 13: three gates in one product
