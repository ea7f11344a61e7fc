"""CPCA: channel prior convolutional attention.

Paper: Huang et al., "Channel Prior Convolutional Attention for Medical Image Segmentation".

SCSA's table decides between readings (27.40M, 4.87G in ResNet-50, after the 3x3 convolution of a block): one 1x1
convolution, used three times (in front, to mix the branches, behind), and a bottleneck of C / 16, 8 channels at least.
"""
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.validation import check_map, check_odd, check_whole

__all__ = ['CPCA']


class CPCA(nn.Module):
    """A gate a channel from its mean and maximum, then a gate for each pixel of each channel from strips around it.

    Args:
        channels: channels C of the map.
        reduction: C over the channels of the bottleneck in the channel part, which has 8 at least.
        kernel_size: side of the depthwise convolution in front of the strips.
        strips: lengths of the strips, odd; each is a pair of depthwise convolutions, 1 x n and n x 1.

    Shape:
        (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int, reduction: int = 16, kernel_size: int = 5, strips: tuple[int, ...] = (7, 11, 21)):
        super().__init__()
        check_whole('CPCA', channels=channels, reduction=reduction)
        check_odd('CPCA', kernel_size=kernel_size, **{f'strips[{i}]': n for i, n in enumerate(strips)})
        self.channels = channels
        squeezed = max(8, channels // reduction)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.conv = nn.Conv2d(channels, channels, 1)
        self.local = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)
        self.strips = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, (1, n), padding=(0, n // 2), groups=channels),
                          nn.Conv2d(channels, channels, (n, 1), padding=(n // 2, 0), groups=channels)) for n in strips)

    def channel_gate(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 1, 1)."""
        pooled = (pool(x, 1) for pool in (F.adaptive_avg_pool2d, F.adaptive_max_pool2d))
        mean, maximum = (self.fc2(F.relu(self.fc1(p))) for p in pooled)
        return (mean + maximum).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.channels)
        x = F.gelu(self.conv(x))
        x = x * self.channel_gate(x)
        near = self.local(x)
        gate = self.conv(near + sum(strip(near) for strip in self.strips))
        return self.conv(gate * x)
