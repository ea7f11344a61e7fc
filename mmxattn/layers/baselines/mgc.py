"""MGC: multi-level global context of A^2-FPN, a baseline in FINE's Table 2.

Paper: Hu et al., "A^2-FPN: Attention Aggregation based Feature Pyramid Network for Instance Segmentation", CVPR 2021.

Attention collects context from the backbone's maps into a few descriptors and distributes it to the levels. The paper
does not specify the layers. Here, 1x1 convolutions of each backbone map give C attention maps, with a softmax over
positions, and C features. The C descriptors of all levels are averaged and mixed by a residual MLP. Each position
attends to the descriptors with softmax weights from a 1x1 convolution, and a final 1x1 convolution of the result is
added to the level. This adds 2.62M parameters to Faster R-CNN (FINE's Table 2: 2.6M) and 0.92M to RT-DETR (0.9M).
"""
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...utils.memory_format import to_tokens
from ...utils.validation import check_maps

__all__ = ['MGC']


class MGC(nn.Module):
    """Add global context to the levels of a pyramid.

    Args:
        in_channels: Channels C_i of the backbone's map of each level.
        channels: Channels C of the levels.

    Shape:
        inputs: list of (B, C_i, H_i, W_i), laterals: list of (B, C, H_i, W_i) -> list of (B, C, H_i, W_i).
    """

    def __init__(self, in_channels: Sequence[int], channels: int):
        super().__init__()
        self.in_channels = tuple(in_channels)
        self.channels = channels
        self.attend = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in in_channels)
        self.features = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in in_channels)
        self.mix = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels))
        self.read = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in in_channels)
        self.out = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in in_channels)

    def forward(self, inputs: Sequence[Tensor], laterals: Sequence[Tensor]) -> list[Tensor]:
        check_maps(self, inputs, self.in_channels)
        check_maps(self, laterals, [self.channels] * len(self.in_channels))
        descriptors = self.collect(inputs)
        return [x + self.distribute(level, x, descriptors) for level, x in enumerate(laterals)]

    def collect(self, inputs: Sequence[Tensor]) -> Tensor:
        """Collect the descriptors of all levels, of shape (B, C descriptors, C)."""
        collected = []
        for attend, features, x in zip(self.attend, self.features, inputs):
            attention = attend(x).flatten(2).softmax(2)  # (B, descriptors, N)
            collected.append(attention @ to_tokens(features(x)))  # (B, descriptors, C)
        descriptors = torch.stack(collected).mean(0)
        return descriptors + self.mix(descriptors)

    def distribute(self, level: int, x: Tensor, descriptors: Tensor) -> Tensor:
        """Compute the context of each position of a level: (B, C, H, W)."""
        attention = self.read[level](x).flatten(2).softmax(1)  # (B, descriptors, N)
        return self.out[level]((descriptors.transpose(1, 2) @ attention).unflatten(2, x.shape[2:]))
