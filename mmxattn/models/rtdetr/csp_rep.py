"""CSPRepLayer, the fusion block of RT-DETR's hybrid encoder (Fig. 4).

Differences from the paper: ``expansion`` (1 in RT-DETR-R50, 0.5 in R18) scales the hidden channels, and a third 1x1
convolution restores them, as in the release and the published counts.
"""
from torch import Tensor, nn

from .rep_vgg import ConvNorm, RepVGGBlock

__all__ = ['CSPRepLayer']


class CSPRepLayer(nn.Module):
    """Fuse two concatenated maps: two 1x1 convolutions, RepVGG blocks after one of them, and the sum of both branches.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        num_blocks: Number of RepVGG blocks.
        expansion: Ratio of the hidden channels to ``out_channels``.

    Shape:
        (B, in_channels, H, W) -> (B, out_channels, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int, num_blocks: int = 3, expansion: float = 1.0):
        super().__init__()
        hidden = int(out_channels * expansion)
        self.conv1 = ConvNorm(in_channels, hidden, act=nn.SiLU)
        self.conv2 = ConvNorm(in_channels, hidden, act=nn.SiLU)
        self.bottlenecks = nn.Sequential(*(RepVGGBlock(hidden) for _ in range(num_blocks)))
        self.conv3 = nn.Identity() if hidden == out_channels else ConvNorm(hidden, out_channels, act=nn.SiLU)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(self.bottlenecks(self.conv1(x)) + self.conv2(x))
