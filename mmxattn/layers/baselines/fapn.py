"""FaPN: a low map whose channels are selected, and a high map that is bent to it before the two are fused.

Paper: Huang et al., "FaPN: Feature-aligned Pyramid Network for Dense Image Prediction", ICCV 2021. A baseline of FINE in
its Table 2.

* Feature selection (FSM): u = sigmoid(f_m(mean of C)); f_s(C + u C), with 1x1 convolutions f_m and f_s. In an FPN it
  stands for the lateral convolution, on the backbone's map.
* Feature alignment (FAM): offsets f_o([selected low, upsampled high]), then a deformable convolution f_a, 3x3, of the
  upsampled high map with them.

Where the text leaves it open: the deformable convolution is modulated, so that f_o makes two offsets and a mask for
each of its nine points; f_o is a 1x1 convolution 2C -> C and a 3x3 one, which starts at zero; the high map is upsampled
bilinearly; no convolution has a normalisation; ``deform_groups`` is 1. With these FINE's Table 2 is met as near as with
any reading found: with eight groups Faster R-CNN is nearer in parameters and far off in operations. FINE's counts of
the two detectors contradict each other for one structure (see docs/paper_tables/fine.yml).
"""
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.validation import check_flags, check_map, check_pair, check_whole

__all__ = ['FaPNAlignment', 'FeatureSelection']

POINTS = 9  # of a 3x3 kernel


class FeatureSelection(nn.Module):
    """FaPN's FSM: a 1x1 convolution of a map whose important channels were made stronger.

    Args:
        in_channels: of the map.
        channels: of the output.

    Shape:
        (B, in_channels, H, W) -> (B, channels, H, W).
    """

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        check_whole('FeatureSelection', in_channels=in_channels, channels=channels)
        self.importance = nn.Conv2d(in_channels, in_channels, 1)
        self.select = nn.Conv2d(in_channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.importance.in_channels)
        u = self.importance(x.mean((2, 3), keepdim=True)).sigmoid()  # (B, in_channels, 1, 1)
        return self.select(x + u * x)


class FaPNAlignment(nn.Module):
    """FaPN's fusion of two levels: FSM on the low map, FAM on the high one.

    Args:
        channels: C of both maps.
        high_channels: C as well, or left out.
        deform_conv: class of a modulated deformable convolution, built with (C, C, 3, padding=1, deform_groups=g) and
            called with (x, offsets, mask), as :class:`mmcv.ops.ModulatedDeformConv2d`. The offsets (B, 2*9*g, H, W)
            are (row, column) of each point, group by group, the masks (B, 9*g, H, W).
        deform_groups: g, groups of channels with offsets of their own.
        select: whether FSM comes first; False where the low map has passed one.

    Shape:
        low (B, C, H, W), high (B, C, H', W') -> both (B, C, H, W).

    Raises:
        ValueError: unequal channels, or groups that do not divide them.
    """

    def __init__(self, channels: int, high_channels: int = None, *, deform_conv: Callable[..., nn.Module],
                 deform_groups: int = 1, select: bool = True):
        super().__init__()
        check_whole('FaPNAlignment', channels=channels, deform_groups=deform_groups)
        check_flags('FaPNAlignment', select=select)
        if high_channels not in (None, channels):
            raise ValueError(f'FaPNAlignment: channels={channels}, high_channels={high_channels}; both maps must '
                             'have as many.')
        if channels % deform_groups:
            raise ValueError(f'FaPNAlignment: channels={channels} is not divisible by deform_groups={deform_groups}; '
                             'give a divisor.')
        self.channels = channels
        self.selection = FeatureSelection(channels, channels) if select else nn.Identity()
        self.compare = nn.Conv2d(2 * channels, channels, 1)
        self.offsets = nn.Conv2d(channels, 3 * POINTS * deform_groups, 3, padding=1)
        self.align = deform_conv(channels, channels, 3, padding=1, deform_groups=deform_groups)
        self.init_weights()

    def init_weights(self) -> None:
        """Start with a plain convolution, its points where they are, at half the weight."""
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.offsets.bias)

    def forward(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        check_pair(self, low, high, self.channels)
        low = self.selection(low)
        high = F.interpolate(high, size=low.shape[2:], mode='bilinear', align_corners=False)
        rows, columns, mask = self.offsets(self.compare(torch.cat((low, high), 1))).chunk(3, 1)
        offsets = torch.stack((rows, columns), 2).flatten(1, 2)  # (B, 2*9*g, H, W), a row, a column, a row ...
        # half precision has too few digits for places in a map
        precise = torch.promote_types(high.dtype, torch.float32)
        return low, self.align(high.to(precise), offsets.to(precise), mask.sigmoid().to(precise)).to(high.dtype)
