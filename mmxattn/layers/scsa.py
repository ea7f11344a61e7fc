"""SCSA: spatial and channel synergistic attention.

Paper: Si et al., "SCSA: Exploring the Synergistic Effects Between Spatial and Channel Attention".

A spatial part, SMSA, gates each row and each column of a map by what 1-D convolutions of several lengths see in it;
a channel part, PCSA, gates each channel by self-attention between the channels of the map so gated.

Beside the paper's text:
* one gated map is made, and all three gates are multiplied into it in place (``gated_maps.py``);
* the four convolutions are one, and so are both axes, as one sequence; the depthwise 1x1 convolutions of Eq. 10 are
  products with a scale a channel;
* ``zero_init`` (not in the paper) doubles the gates and starts each of them at exactly 1.
"""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .gated_maps import axis_means, gate_and_pool, gate_channels

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

    def kernel(self) -> tuple[Tensor, Tensor]:
        """Weight (C, 1, k, 1) and bias (C,) of one convolution that does the four groups' at once.

        Shorter kernels are padded with zeros to the longest.
        """
        convs = (self.local_dwc, self.global_dwc_s, self.global_dwc_m, self.global_dwc_l)
        longest = max(conv.kernel_size[0] for conv in convs)
        margins = [(longest - conv.kernel_size[0]) // 2 for conv in convs]
        weights = [F.pad(conv.weight, (margin, margin)) for conv, margin in zip(convs, margins)]
        return torch.cat(weights).unsqueeze(3), torch.cat([conv.bias for conv in convs])

    def spatial_logits(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """SMSA: means (B, C, H) of rows and (B, C, W) of columns -> logits of their gates (Eq. 2 to 6).

        The same convolutions serve both axes. They see one sequence, with the zeros between that pad either.
        """
        weight, bias = self.kernel()
        margin = weight.shape[2] // 2
        gap = rows.new_zeros(*rows.shape[:2], margin)
        x = torch.cat((rows, gap, columns), dim=2).unsqueeze(3)
        if x.device.type == 'cpu':  # which convolves a channel at a time up to four times as fast in this order
            x = x.contiguous(memory_format=torch.channels_last)
        x = F.conv2d(x, weight, bias, padding=(margin, 0), groups=x.shape[1]).squeeze(3)
        height, width = rows.shape[2], columns.shape[2]
        return self.norm_h(x[:, :, :height]), self.norm_w(x[:, :, -width:])

    def channel_logits(self, x: Tensor) -> Tensor:
        """PCSA: pooled map (B, C, h, w) -> logits (B, C). Attention is between channels; pixels are their features."""
        x = self.norm(x).flatten(2).unsqueeze(1)  # (B, 1, C, N)
        weights = torch.stack((self.q.weight, self.k.weight, self.v.weight)).flatten(2)  # (3, C, 1)
        q, k, v = (x * weights).split(1, dim=1)  # Eq. 10
        return F.scaled_dot_product_attention(q, k, v, scale=x.shape[2]**-0.5).mean((1, 3))  # Eq. 11 and 12

    def forward(self, x: Tensor) -> Tensor:
        row_means, column_means, x = axis_means(x)  # Eq. 1
        rows, columns = (logits.to(x.dtype) for logits in self.spatial_logits(row_means, column_means))
        height, width = x.shape[2:]
        window = min(self.window_size, height), min(self.window_size, width)
        limit = 2 if self.zero_init else 1  # a logit of 0 then leaves the map alone
        gated, pooled = gate_and_pool(x, rows, columns, window, limit)  # Eq. 7 and 8
        channels = self.channel_logits(pooled).to(x.dtype)
        return gate_channels(gated, channels, x, rows, columns, limit)  # Eq. 13
