"""FaPN: feature selection of the low map and deformable alignment of the high map, a baseline in FINE's Table 2.

Paper: Huang et al., "FaPN: Feature-aligned Pyramid Network for Dense Image Prediction", ICCV 2021.

* Feature selection (FSM): f_s(C + u C) with u = sigmoid(f_m(mean of C)) and 1x1 convolutions f_m and f_s. In an FPN, it
  replaces the lateral convolution.
* Feature alignment (FAM): a 3x3 deformable convolution of the upsampled high map, with offsets
  f_o([selected low, upsampled high]).

The paper does not specify the layers. Here, the deformable convolution is modulated (two offsets and a mask per point),
f_o is a 1x1 convolution (2C -> C) followed by a 3x3 convolution that starts at zero, the high map is upsampled
bilinearly, no convolution has a norm, and ``deform_groups`` is 1. Of the structures that were tried, this one is
closest to FINE's Table 2: with eight groups, the parameter count of Faster R-CNN is closer, but its operation count is
far off. No single structure matches FINE's counts for both detectors (see docs/paper_tables/fine.yml).
"""
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.validation import check_divisible, check_map, check_pair

__all__ = ['FaPNAlignment', 'FeatureSelection']

NUM_POINTS = 9  # of a 3x3 kernel


class FeatureSelection(nn.Module):
    """FaPN's FSM: emphasize important channels, then apply a 1x1 convolution.

    Args:
        in_channels: Input channels.
        channels: Output channels.

    Shape:
        (B, in_channels, H, W) -> (B, channels, H, W).
    """

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.importance = nn.Conv2d(in_channels, in_channels, 1)
        self.select = nn.Conv2d(in_channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.importance.in_channels)
        u = self.importance(x.mean((2, 3), keepdim=True)).sigmoid()  # (B, in_channels, 1, 1)
        return self.select(x + u * x)


class FaPNAlignment(nn.Module):
    """FaPN's fusion of two levels: FSM on the low map, FAM on the high map.

    Args:
        channels: Channels C of both maps, divisible by ``deform_groups``.
        high_channels: Channels of the high map. Must equal ``channels``.
        deform_conv: Class of a modulated deformable convolution such as :class:`mmcv.ops.ModulatedDeformConv2d`,
            constructed with (C, C, 3, padding=1, deform_groups=g) and called with (x, offsets, mask). Offsets have
            shape (B, 2*9*g, H, W), with (row, column) per point and group; masks have shape (B, 9*g, H, W).
        deform_groups: Number of channel groups g with separate offsets.
        select: Apply FSM. Set it to False if FSM has already been applied to the low map.

    Shape:
        low (B, C, H, W), high (B, C, H', W') -> both (B, C, H, W).
    """

    def __init__(self,
                 channels: int,
                 high_channels: int | None = None,
                 *,
                 deform_conv: Callable[..., nn.Module],
                 deform_groups: int = 1,
                 select: bool = True):
        super().__init__()
        if high_channels not in (None, channels):
            raise ValueError(f'FaPNAlignment: high_channels must equal channels, got {high_channels} and {channels}.')
        check_divisible('FaPNAlignment', channels=channels, deform_groups=deform_groups)
        self.channels = channels
        self.selection = FeatureSelection(channels, channels) if select else nn.Identity()
        self.compare = nn.Conv2d(2 * channels, channels, 1)
        self.offsets = nn.Conv2d(channels, 3 * NUM_POINTS * deform_groups, 3, padding=1)
        self.align = deform_conv(channels, channels, 3, padding=1, deform_groups=deform_groups)
        self.init_weights()

    def init_weights(self) -> None:
        """Start with zero offsets and masks of 0.5, which gives half the output of a plain convolution."""
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.offsets.bias)

    def forward(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        check_pair(self, low, high, self.channels)
        low = self.selection(low)
        high = F.interpolate(high, size=low.shape[2:], mode='bilinear', align_corners=False)
        rows, columns, mask = self.offsets(self.compare(torch.cat((low, high), 1))).chunk(3, 1)
        offsets = torch.stack((rows, columns), 2).flatten(1, 2)  # (B, 2*9*g, H, W), alternating rows and columns
        dtype = torch.promote_types(high.dtype, torch.float32)  # half precision is too coarse for coordinates
        return low, self.align(high.to(dtype), offsets.to(dtype), mask.sigmoid().to(dtype)).to(high.dtype)
