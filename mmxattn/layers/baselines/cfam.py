"""CFAM: one squeeze and excitation over the channels of all levels of a pyramid.

Paper: Zheng, Pang and Lan, "Cross-layer Feature Attention Module for Multi-scale Object Detection" (ISAIR 2022), as
CFSAM's paper compares with it: channel attention that "explicitly models the interdependencies between different-level
feature maps".

The text of CFAM's own paper was not at hand. CFSAM's Table 4 gives an SSD300 with CFAM 0.6 million parameters and 0.44
billion multiply-adds less than the plain one, and both differences come out together where

* a 1x1 convolution takes each level to 256 channels, so that the detection head reads 256 at every level;
* the averages of all levels, concatenated, pass one squeeze and excitation with a reduction of 16, as SE's (Hu et al.,
  CVPR 2018), and its output gates the channels of each level.
"""
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...utils.validation import check_channels, check_maps, check_whole

__all__ = ['CFAM']


class CFAM(nn.Module):
    """Channel attention across levels: a list of maps in, maps of the same sizes and ``channels`` channels out.

    Args:
        in_channels: channels C_i of each of the L levels.
        channels: channels C that every level comes out with.
        ratio: reduction of the squeeze, L * C -> L * C / ratio.

    Shape:
        [(B, C_i, H_i, W_i), ...] -> [(B, C, H_i, W_i), ...].

    Raises:
        ValueError: at construction for numbers that do not fit, at the first forward for another number of levels
            or other channels.
    """

    def __init__(self, in_channels: Sequence[int], channels: int = 256, ratio: int = 16):
        super().__init__()
        check_channels('CFAM', in_channels)
        check_whole('CFAM', channels=channels, ratio=ratio)
        total = len(in_channels) * channels
        if ratio > total:
            raise ValueError(f'CFAM: ratio={ratio} must be between 1 and {total}, the channels of {len(in_channels)} '
                             f'levels of channels={channels}.')
        self.in_channels = tuple(in_channels)
        self.lateral = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in in_channels)
        self.squeeze = nn.Linear(total, total // ratio)
        self.excite = nn.Linear(total // ratio, total)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        check_maps(self, maps, self.in_channels)
        maps = [conv(x) for conv, x in zip(self.lateral, maps)]  # (B, C, H_i, W_i)
        means = torch.cat([x.mean((2, 3)) for x in maps], dim=1)  # (B, L*C)
        gates = self.excite(self.squeeze(means).relu()).sigmoid()
        return [x * gate[:, :, None, None] for x, gate in zip(maps, gates.chunk(len(maps), dim=1))]
