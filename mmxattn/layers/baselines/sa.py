"""SA: shuffle attention (SA-Net).

Paper: Zhang and Yang, "SA-Net: Shuffle Attention for Deep Convolutional Neural Networks".

Differences from the paper: if C / 2 is not divisible by the number of groups, their greatest common divisor is used (32
at 64 channels). SCSA's table implies this: 4.12G operations in ResNet-50 correspond to SA after the 3x3 convolution of
a block. After the last convolution, there would be 4.13G.
"""
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.validation import check_map

__all__ = ['SA']


class SA(nn.Module):
    """Gate half of each channel group by channel and half by pixel, then shuffle the channels.

    Args:
        channels: Number of channels C, which must be even.
        groups: Maximum number of groups G.

    Shape:
        (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int, groups: int = 64):
        super().__init__()
        if channels % 2:
            raise ValueError(f'SA: channels must be even, got {channels}.')
        self.channels = channels
        self.groups = math.gcd(groups, channels // 2)
        c = channels // (2 * self.groups)
        self.cweight, self.cbias, self.sweight, self.sbias = (nn.Parameter(torch.empty(c, 1, 1)) for _ in range(4))
        self.norm = nn.GroupNorm(c, c)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize all gates to sigmoid(1)."""
        for weight, bias in ((self.cweight, self.cbias), (self.sweight, self.sbias)):
            nn.init.zeros_(weight)
            nn.init.ones_(bias)
        self.norm.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.channels)
        batch = x.shape[0]
        halves = x.unflatten(1, (self.groups, 2, -1)).flatten(0, 1)  # (B*G, 2, c, H, W)
        x_channel, x_spatial = halves.unbind(1)
        means = F.adaptive_avg_pool2d(x_channel, 1)
        x_channel = x_channel * (self.cweight * means + self.cbias).sigmoid().to(x.dtype)
        x_spatial = x_spatial * (self.sweight * self.norm(x_spatial) + self.sbias).sigmoid().to(x.dtype)
        x = torch.cat((x_channel, x_spatial), 1).unflatten(0, (batch, -1)).flatten(1, 2)  # (B, C, H, W)
        return x.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)  # channel shuffle
