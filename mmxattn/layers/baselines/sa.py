"""SA: shuffle attention (SA-Net).

Paper: Zhang and Yang, "SA-Net: Shuffle Attention for Deep Convolutional Neural Networks".

Beside the paper's text: where channels / 2 is not divisible by the number of groups, their greatest common divisor is
the number of groups (32 at 64 channels). SCSA's table asks for it: 4.12G in ResNet-50 is after the 3x3 convolution of a
block, and 4.13G would be after the last.
"""
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.validation import check_map, check_whole

__all__ = ['SA']


class SA(nn.Module):
    """In each group of channels, half are gated by channel and half by pixel; then the halves are shuffled.

    Args:
        channels: channels C of the map, an even number.
        groups: groups G of channels at most.

    Shape:
        (B, C, H, W) -> (B, C, H, W).

    Raises:
        ValueError: an odd number of channels, or less than one group.
    """

    def __init__(self, channels: int, groups: int = 64):
        super().__init__()
        check_whole('SA', channels=channels, groups=groups)
        self.channels = channels
        if channels % 2:
            raise ValueError(f'SA: channels={channels} must be even, for either half of them is gated in its own way.')
        self.groups = math.gcd(groups, channels // 2)
        width = channels // (2 * self.groups)  # c
        self.cweight, self.cbias, self.sweight, self.sbias = (nn.Parameter(torch.empty(width, 1, 1)) for _ in range(4))
        self.norm = nn.GroupNorm(width, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """All gates start at sigmoid(1)."""
        for weight, bias in ((self.cweight, self.cbias), (self.sweight, self.sbias)):
            nn.init.zeros_(weight)
            nn.init.ones_(bias)
        self.norm.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.channels)
        batch = x.shape[0]
        halves = x.unflatten(1, (self.groups, 2, -1)).flatten(0, 1)  # (B*G, 2, c, H, W)
        by_channel, by_pixel = halves.unbind(1)
        means = F.adaptive_avg_pool2d(by_channel, 1)
        by_channel = by_channel * (self.cweight * means + self.cbias).sigmoid().to(x.dtype)
        by_pixel = by_pixel * (self.sweight * self.norm(by_pixel) + self.sbias).sigmoid().to(x.dtype)
        x = torch.cat((by_channel, by_pixel), 1).unflatten(0, (batch, -1)).flatten(1, 2)  # (B, C, H, W)
        return x.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)  # channel shuffle
