"""EMA: efficient multi-scale attention with cross-spatial learning.

Paper: Ouyang et al., "Efficient Multi-Scale Attention Module with Cross-Spatial Learning".
"""
import torch
from torch import Tensor, nn

from ...utils.validation import check_map, check_whole

__all__ = ['EMA']


class EMA(nn.Module):
    """A gate a pixel in each group of channels: what rows and columns say of a 3x3 convolution, and the reverse.

    Args:
        channels: channels C of the map.
        groups: groups G of channels, a divisor of C; all share their weights. 32 is what SCSA's table counts, after
            the 3x3 convolution of a block (25.57M, 4.18G in ResNet-50).

    Shape:
        (B, C, H, W) -> (B, C, H, W).

    Raises:
        ValueError: groups that do not divide the channels.
    """

    def __init__(self, channels: int, groups: int = 32):
        super().__init__()
        check_whole('EMA', channels=channels, groups=groups)
        self.channels = channels
        if channels % groups:
            raise ValueError(f'EMA: channels={channels} is not divisible by groups={groups}; give groups, a divisor.')
        self.groups = groups
        width = channels // groups  # c
        self.conv1x1 = nn.Conv2d(width, width, 1)
        self.conv3x3 = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.GroupNorm(width, width)

    def by_row_and_column(self, x: Tensor) -> Tensor:
        """The 1x1 branch: (B*G, c, H, W) gated by what the means of its rows and its columns become."""
        height, width = x.shape[2:]
        means = torch.cat((x.mean(3), x.mean(2)), 2).unsqueeze(3)  # (B*G, c, H + W, 1)
        rows, columns = self.conv1x1(means).sigmoid().split((height, width), 2)
        return self.norm(x * rows * columns.transpose(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.channels)
        groups = x.unflatten(1, (self.groups, -1)).flatten(0, 1)  # (B*G, c, H, W)
        one, three = self.by_row_and_column(groups), self.conv3x3(groups)
        weights = summary(one) @ three.flatten(2) + summary(three) @ one.flatten(2)  # (B*G, 1, H*W)
        gated = groups * weights.sigmoid().unflatten(2, x.shape[2:]).to(x.dtype)
        return gated.view_as(x)


def summary(x: Tensor) -> Tensor:
    """Softmax over the channels' means: (N, c, H, W) -> (N, 1, c)."""
    return x.mean((2, 3)).softmax(1).unsqueeze(1)
