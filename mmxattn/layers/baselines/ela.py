"""ELA: efficient local attention.

Paper: Xu and Wan, "ELA: Efficient Local Attention for Deep Convolutional Neural Networks".

SCSA's table counts 9 parameters a channel (25.59M in ResNet-50, after the 3x3 convolution of a block): one depthwise
convolution of length 7 without bias and one group norm, both for rows and columns. timm's EfficientLocalAttn has two
of each and an activation between norm and gate.
"""
from torch import Tensor, nn

from ...utils.validation import check_map, check_odd, check_whole
from ..group_norm import GroupNorm

__all__ = ['ELA']


class ELA(nn.Module):
    """A gate a row and a gate a column of each channel, from the means along a convolution.

    Args:
        channels: channels C of the map, divisible by ``groups``.
        kernel_size: length of the convolution, odd.
        groups: groups of the norm.

    Shape:
        (B, C, H, W) -> (B, C, H, W).

    Raises:
        ValueError: groups that do not divide the channels, or an even length.
    """

    def __init__(self, channels: int, kernel_size: int = 7, groups: int = 16):
        super().__init__()
        check_whole('ELA', channels=channels, groups=groups)
        check_odd('ELA', kernel_size=kernel_size)
        self.channels = channels
        if channels % groups:
            raise ValueError(f'ELA: channels={channels} is not divisible by groups={groups}; give groups, a divisor.')
        self.conv = nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels, bias=False)
        self.norm = GroupNorm(groups, channels)

    def gate(self, means: Tensor) -> Tensor:
        """Means (B, C, L) along an axis -> gates (B, C, L)."""
        return self.norm(self.conv(means)).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.channels)
        rows, columns = (self.gate(x.mean(axis)).to(x.dtype) for axis in (3, 2))
        return x * rows.unsqueeze(3) * columns.unsqueeze(2)
