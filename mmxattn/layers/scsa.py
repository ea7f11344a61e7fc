"""SCSA: spatial and channel synergistic attention.

Paper: Si et al., "SCSA: Exploring the Synergistic Effects Between Spatial and Channel Attention".

A spatial part, SMSA, gates each row and each column of a map by what 1-D convolutions of several lengths see in it;
a channel part, PCSA, gates each channel by self-attention between the channels of the map so gated.

Beside the paper's text:
* the mean over tokens is taken before the attention map is applied, not after: both are linear, and a vector is
  cheaper than a map (Eq. 11 and 12);
* ``zero_init`` (not in the paper) doubles the gates and starts each of them at exactly 1.
"""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
        self.gate_scale = 2. if zero_init else 1.

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
        return logits.sigmoid() * self.gate_scale

    def multi_semantic(self, x: Tensor, norm: nn.Module) -> Tensor:
        """SMSA along one axis: (B, C, L) -> gate (B, C, L). The same convolutions serve both axes."""
        local, small, middle, large = x.chunk(4, dim=1)  # Eq. 1 and 2
        x = torch.cat((self.local_dwc(local), self.global_dwc_s(small), self.global_dwc_m(middle),
                       self.global_dwc_l(large)), dim=1)  # Eq. 3 and 4
        return self.gate(norm(x))  # Eq. 5 and 6

    def channel_attention(self, x: Tensor) -> Tensor:
        """PCSA: (B, C, H, W) -> gate (B, C, 1, 1). Attention is between channels; pixels are their features."""
        height, width = x.shape[-2:]
        x = F.avg_pool2d(x, (min(self.window_size, height), min(self.window_size, width)))  # Eq. 8
        x = self.norm(x)
        q, k, v = (proj(x).flatten(2) for proj in (self.q, self.k, self.v))  # Eq. 10: (B, C, N)
        attn = (q @ k.transpose(1, 2) * q.shape[1]**-0.5).softmax(-1)  # (B, C, C)
        return self.gate(attn @ v.mean(-1, keepdim=True)).unsqueeze(-1)  # Eq. 11 and 12: mean(A V) = A mean(V)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.multi_semantic(x.mean(3), self.norm_h).unsqueeze(3)  # (B, C, H, 1)
        columns = self.multi_semantic(x.mean(2), self.norm_w).unsqueeze(2)  # (B, C, 1, W)
        x = x * rows * columns  # Eq. 7
        return x * self.channel_attention(x)
