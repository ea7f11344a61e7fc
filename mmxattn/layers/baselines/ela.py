"""ELA: efficient local attention.

Paper: Xu and Wan, "ELA: Efficient Local Attention for Deep Convolutional Neural Networks".

SCSA's table implies 9 parameters per channel (25.59M parameters in ResNet-50, after the 3x3 convolution of a block): a
depthwise convolution of length 7 without bias and a group norm, both shared by rows and columns. timm's
EfficientLocalAttn does not share them, and it has an activation between the norm and the gate.
"""
from torch import Tensor, nn

from ...utils.validation import check_divisible, check_map
from ..group_norm import GroupNorm

__all__ = ['ELA']


class ELA(nn.Module):
    """Gate the rows and columns of each channel with a convolution over their means.

    Args:
        channels: Number of channels C, divisible by ``groups``.
        kernel_size: Odd length of the convolution.
        groups: Groups of the norm.

    Shape:
        (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int, kernel_size: int = 7, groups: int = 16):
        super().__init__()
        check_divisible('ELA', channels=channels, groups=groups)
        self.channels = channels
        self.conv = nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels, bias=False)
        self.norm = GroupNorm(groups, channels)

    def gate(self, means: Tensor) -> Tensor:
        """Compute gates from the means along an axis: (B, C, L) -> (B, C, L)."""
        return self.norm(self.conv(means)).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.channels)
        rows, columns = (self.gate(x.mean(axis)).to(x.dtype) for axis in (3, 2))
        return x * rows.unsqueeze(3) * columns.unsqueeze(2)
