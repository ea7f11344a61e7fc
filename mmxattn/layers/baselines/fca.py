"""FCA: frequency channel attention (FcaNet), SE with one cosine wave per channel group instead of the mean.

Paper: Qin et al., "FcaNet: Frequency Channel Attention Networks".

Differences from the paper:
* The waves are separable, so the projection consists of two short sums and needs no (C, H, W) array of waves.
* The paper's networks pool the map to 56, 28, 14, 7 pixels at 256, 512, 1024, 2048 channels. For other numbers of
  channels, ``size`` is in the same proportion, within these bounds.
"""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.validation import check_map

__all__ = ['FCA', 'TOP_16']

# (row, column) frequencies on a 7x7 grid that individually perform best on ImageNet (the paper's two-step selection)
TOP_16 = ((0, 0), (0, 1), (6, 0), (0, 5), (0, 2), (1, 0), (1, 2), (4, 0),
          (5, 0), (1, 6), (3, 0), (0, 4), (0, 6), (0, 3), (3, 5), (2, 2))


def cosine_waves(frequencies: Sequence[int], size: int) -> Tensor:
    """Return rows (F, size) of the orthonormal cosine transform, for frequencies on a grid of 7."""
    u = torch.tensor(frequencies, dtype=torch.float64).unsqueeze(1) * (size // 7)
    positions = torch.arange(size, dtype=torch.float64) + 0.5
    waves = torch.cos(torch.pi * u * positions / size) / size**0.5
    return (waves * torch.where(u == 0, 1., 2.**0.5)).float()


class FCA(nn.Module):
    """Gate each channel with one coefficient of its cosine transform.

    Args:
        channels: Number of channels C, divisible by the number of frequencies.
        reduction: Ratio of C to the channels of the bottleneck.
        frequencies: (row, column) on a 7x7 grid, one per channel group.
        size: Side of the pooled map in pixels, a multiple of 7. By default, it depends on ``channels``.

    Shape:
        (B, C, H, W) -> (B, C, H, W).
    """

    rows: Tensor
    columns: Tensor

    def __init__(self,
                 channels: int,
                 reduction: int = 16,
                 frequencies: Sequence[tuple[int, int]] = TOP_16,
                 size: int | None = None):
        super().__init__()
        if channels % len(frequencies):
            raise ValueError(f'FCA: channels must be divisible by the number of frequencies, got {channels} and '
                             f'{len(frequencies)}.')
        if size is None:
            size = 7 * min(8, max(1, 2048 // channels))
        if size < 1 or size % 7:
            raise ValueError(f'FCA: size must be a positive multiple of 7, got {size}.')
        self.channels = channels
        self.size = size
        rows, columns = zip(*frequencies)
        self.register_buffer('rows', cosine_waves(rows, size), persistent=False)
        self.register_buffer('columns', cosine_waves(columns, size), persistent=False)
        squeezed = max(1, channels // reduction)
        self.fc = nn.Sequential(nn.Linear(channels, squeezed, bias=False), nn.ReLU(inplace=True),
                                nn.Linear(squeezed, channels, bias=False))

    def coefficients(self, x: Tensor) -> Tensor:
        """Compute one coefficient of the cosine transform per channel: (B, C, H, W) -> (B, C)."""
        x = F.adaptive_avg_pool2d(x, self.size).unflatten(1, (len(self.rows), -1))  # (B, F, C/F, size, size)
        columns, rows = self.columns[:, None, :, None], self.rows[:, None, :, None]
        x = (x @ columns).transpose(3, 4) @ rows  # (B, F, C/F, 1, 1)
        return x.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.channels)
        gate = self.fc(self.coefficients(x)).sigmoid()
        return x * gate[:, :, None, None].to(x.dtype)
