"""MGC, multi-level global context: what all levels hold is collected in a few descriptors, which each level reads.

Paper: Hu et al., "A^2-FPN: Attention Aggregation based Feature Pyramid Network for Instance Segmentation", CVPR 2021.
FINE's Table 2 has this module of it alone.

A^2-FPN collects and distributes context from the backbone's maps, before their channels are reduced, by attention.
Where that leaves it open: at each level 1x1 convolutions of the backbone's map give C attention maps, with a softmax
over positions, and C features; C descriptors are gathered by them and averaged over levels; two linear layers with a
ReLU between, and a residual, mix each descriptor's features; each position of a level takes a softmax over the
descriptors, from a 1x1 convolution of the level's C channels, and what it reads passes a 1x1 convolution and is added.
So Faster R-CNN gets 2.62M parameters more (FINE's Table 2: 2.6M), RT-DETR 0.92M (0.9M).
"""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.memory_format import to_tokens
from ...utils.validation import check_channels, check_maps, check_whole

__all__ = ['MGC']


class MGC(nn.Module):
    """Global context over the levels of a pyramid, added to each of them.

    Args:
        in_channels: C_i of the backbone's map at each level.
        channels: C of the pyramid's levels.

    Shape:
        inputs, a list of (B, C_i, H_i, W_i), and laterals, a list of (B, C, H_i, W_i) -> a list like laterals.

    Raises:
        ValueError: at the forward, where the numbers of maps are not ``len(in_channels)``.
    """

    def __init__(self, in_channels: Sequence[int], channels: int):
        super().__init__()
        check_channels('MGC', in_channels)
        check_whole('MGC', channels=channels)
        self.in_channels = tuple(in_channels)
        self.attend = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in in_channels)
        self.features = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in in_channels)
        self.mix = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels))
        self.read = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in in_channels)
        self.out = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in in_channels)

    def forward(self, inputs: Sequence[Tensor], laterals: Sequence[Tensor]) -> list[Tensor]:
        if not len(inputs) == len(laterals) == len(self.out):
            raise ValueError(f'MGC: got {len(inputs)} maps of the backbone and {len(laterals)} levels; in_channels '
                             f'asks for {len(self.out)}.')
        check_maps(self, inputs, self.in_channels)
        descriptors = self.collect(inputs)
        return [x + self.distribute(i, x, descriptors) for i, x in enumerate(laterals)]

    def collect(self, inputs: Sequence[Tensor]) -> Tensor:
        """The descriptors of all levels together: (B, C, C), one a row."""
        gathered = []
        for attend, features, x in zip(self.attend, self.features, inputs):
            where = attend(x).flatten(2).softmax(2)  # (B, descriptors, N)
            gathered.append(where @ to_tokens(features(x)))  # (B, descriptors, C)
        descriptors = torch.stack(gathered).mean(0)
        return descriptors + self.mix(descriptors)

    def distribute(self, level: int, x: Tensor, descriptors: Tensor) -> Tensor:
        """What each position of a level takes from the descriptors: (B, C, H, W)."""
        shares = F.softmax(self.read[level](x).flatten(2), 1)  # (B, descriptors, N)
        return self.out[level]((descriptors.transpose(1, 2) @ shares).unflatten(2, x.shape[2:]))
