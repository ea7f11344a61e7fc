"""CPCA: channel prior convolutional attention.

Paper: Huang et al., "Channel Prior Convolutional Attention for Medical Image Segmentation".

Two details are chosen to reproduce SCSA's table (27.40M parameters and 4.87G operations in ResNet-50, after the 3x3
convolution of a block): the same 1x1 convolution is used three times (first, to mix the branches, and last), and the
bottleneck has C / 16 channels, but at least 8.
"""
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.validation import check_map

__all__ = ['CPCA']


class CPCA(nn.Module):
    """Gate channels with their mean and maximum, then each pixel of each channel with strip convolutions.

    Args:
        channels: Number of channels C.
        reduction: Ratio of C to the channels of the bottleneck in the channel part, which has at least 8.
        kernel_size: Odd kernel size of the depthwise convolution before the strips.
        strips: Odd lengths n of the strips, each a depthwise 1 x n and n x 1 convolution.

    Shape:
        (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int, reduction: int = 16, kernel_size: int = 5, strips: tuple[int, ...] = (7, 11, 21)):
        super().__init__()
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
        """Compute the gate of each channel: (B, C, H, W) -> (B, C, 1, 1)."""
        mean, maximum = (self.fc2(F.relu(self.fc1(pool(x, 1)))) for pool in (F.adaptive_avg_pool2d,
                                                                             F.adaptive_max_pool2d))
        return (mean + maximum).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.channels)
        x = F.gelu(self.conv(x))
        x = x * self.channel_gate(x)
        local = self.local(x)
        gate = self.conv(local + sum(strip(local) for strip in self.strips))
        return self.conv(gate * x)
