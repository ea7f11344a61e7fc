"""EMA: efficient multi-scale attention with cross-spatial learning.

Paper: Ouyang et al., "Efficient Multi-Scale Attention Module with Cross-Spatial Learning".
"""
import torch
from torch import Tensor, nn

from ...utils.validation import check_divisible, check_map

__all__ = ['EMA']


class EMA(nn.Module):
    """Gate the pixels of each channel group by cross-attention between a strip-pooling and a 3x3 branch.

    Args:
        channels: Number of channels C.
        groups: Number of channel groups G, which share their weights. 32 reproduces SCSA's table (25.57M parameters
            and 4.18G operations in ResNet-50, after the 3x3 convolution of a block).

    Shape:
        (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int, groups: int = 32):
        super().__init__()
        check_divisible('EMA', channels=channels, groups=groups)
        self.channels = channels
        self.groups = groups
        group_channels = channels // groups  # c
        self.conv1x1 = nn.Conv2d(group_channels, group_channels, 1)
        self.conv3x3 = nn.Conv2d(group_channels, group_channels, 3, padding=1)
        self.norm = nn.GroupNorm(group_channels, group_channels)

    def gate_rows_and_columns(self, x: Tensor) -> Tensor:
        """Apply the 1x1 branch, which gates rows and columns with their means: (B*G, c, H, W) -> (B*G, c, H, W)."""
        height, width = x.shape[2:]
        means = torch.cat((x.mean(3), x.mean(2)), 2).unsqueeze(3)  # (B*G, c, H + W, 1)
        rows, columns = self.conv1x1(means).sigmoid().split((height, width), 2)
        return self.norm(x * rows * columns.transpose(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.channels)
        groups = x.unflatten(1, (self.groups, -1)).flatten(0, 1)  # (B*G, c, H, W)
        x1, x3 = self.gate_rows_and_columns(groups), self.conv3x3(groups)
        weights = channel_softmax(x1) @ x3.flatten(2) + channel_softmax(x3) @ x1.flatten(2)  # (B*G, 1, H*W)
        gated = groups * weights.sigmoid().unflatten(2, x.shape[2:]).to(x.dtype)
        return gated.view_as(x)


def channel_softmax(x: Tensor) -> Tensor:
    """Softmax over the channel means: (N, c, H, W) -> (N, 1, c)."""
    return x.mean((2, 3)).softmax(1).unsqueeze(1)
