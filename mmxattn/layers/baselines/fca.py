"""FCA: frequency channel attention (FcaNet).

Paper: Qin et al., "FcaNet: Frequency Channel Attention Networks".

SE, with another squeeze: channel group f is projected on one two-dimensional cosine wave f instead of the constant one.

Beside the paper's text:
* a wave is separable, so the projection is two short sums and no (C, H, W) array of waves is kept;
* the paper's networks pool the map to 56, 28, 14, 7 pixels in stages of 256, 512, 1024, 2048 channels; elsewhere
  ``size`` follows the channels in the same proportion, within these bounds.
"""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.validation import check_map, check_whole

__all__ = ['FCA', 'TOP_16']

# (row, column) frequencies on a 7x7 grid: the 16 best ones, one by one, on ImageNet (the paper's two-step selection)
TOP_16 = ((0, 0), (0, 1), (6, 0), (0, 5), (0, 2), (1, 0), (1, 2), (4, 0),
          (5, 0), (1, 6), (3, 0), (0, 4), (0, 6), (0, 3), (3, 5), (2, 2))


def cosine_waves(frequencies: Sequence[int], size: int) -> Tensor:
    """Rows of the orthonormal discrete cosine transform of a length: (F, size), for frequencies on a grid of 7."""
    u = torch.tensor(frequencies, dtype=torch.float64).unsqueeze(1) * (size // 7)
    positions = torch.arange(size, dtype=torch.float64) + 0.5
    waves = torch.cos(torch.pi * u * positions / size) / size**0.5
    return (waves * torch.where(u == 0, 1., 2.**0.5)).float()


class FCA(nn.Module):
    """A gate a channel, from one coefficient of the cosine transform of each channel.

    Args:
        channels: channels C of the map, divisible by the number of frequencies.
        reduction: C over the channels of the bottleneck.
        frequencies: (row, column) on a 7x7 grid, one for each group of channels.
        size: side to which the map is pooled first, in pixels, a multiple of 7; by default it follows ``channels``.

    Shape:
        (B, C, H, W) -> (B, C, H, W).

    Raises:
        ValueError: channels that the frequencies do not divide, or a size that 7 does not.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self,
                 channels: int,
                 reduction: int = 16,
                 frequencies: Sequence[tuple[int, int]] = TOP_16,
                 size: int | None = None):
        super().__init__()
        check_whole('FCA', channels=channels, reduction=reduction)
        self.channels = channels
        if size is None:
            size = 7 * min(8, max(1, 2048 // channels))
        if channels % len(frequencies):
            raise ValueError(f'FCA: channels={channels} is not divisible by the number of frequencies, '
                             f'{len(frequencies)}; give frequencies of another number.')
        check_whole('FCA', size=size)
        if size % 7:
            raise ValueError(f'FCA: size={size} is not a multiple of 7, the grid of the frequencies.')
        self.size = size
        rows, columns = zip(*frequencies)
        self.register_buffer('rows', cosine_waves(rows, size), persistent=False)
        self.register_buffer('columns', cosine_waves(columns, size), persistent=False)
        squeezed = max(1, channels // reduction)
        self.fc = nn.Sequential(nn.Linear(channels, squeezed, bias=False), nn.ReLU(inplace=True),
                                nn.Linear(squeezed, channels, bias=False))

    def coefficients(self, x: Tensor) -> Tensor:
        """One coefficient of the cosine transform of each channel: (B, C, H, W) -> (B, C)."""
        x = F.adaptive_avg_pool2d(x, self.size).unflatten(1, (len(self.rows), -1))  # (B, F, C/F, size, size)
        columns, rows = self.columns[:, None, :, None], self.rows[:, None, :, None]
        x = (x @ columns).transpose(3, 4) @ rows  # (B, F, C/F, 1, 1)
        return x.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.channels)
        gate = self.fc(self.coefficients(x)).sigmoid()
        return x * gate[:, :, None, None].to(x.dtype)
