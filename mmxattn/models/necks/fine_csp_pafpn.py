"""The necks of YOLOX and RTMDet whose top-down fusions are aligned by FINE."""
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from mmdet.models.necks import YOLOXPAFPN, CSPNeXtPAFPN
from torch import Tensor, nn

from ...registry import MODELS
from ...utils.validation import check_levels
from ..stock_rules import stock_rules
from .alignment import align, build_fine

__all__ = ['FINECSPNeXtPAFPN', 'FINEYOLOXPAFPN']


if TYPE_CHECKING:

    class StockNeck(nn.Module):
        """What both stock necks have; mmdet has no types."""

        in_channels: Sequence[int]
        upsample: nn.Upsample
        reduce_layers: nn.ModuleList
        top_down_blocks: nn.ModuleList
        downsamples: nn.ModuleList
        bottom_up_blocks: nn.ModuleList
        out_convs: nn.ModuleList
else:
    StockNeck = object


class FINECSPFusion(StockNeck):
    """What the two necks below share: FINE, and the two pathways around it.

    Both keep the backbone's unequal channels. Their own 1x1 convolution (``reduce_layers``) brings the high map to the
    low one's channels before it is upsampled and concatenated; FINE sees that map, the one which is fused (Eq. 3), so
    Eq. 10's convolution is there already and none is added. Images of any size pass: the stock necks upsample by a
    factor of 2, and raise where a level's side is odd.
    """

    def __init__(self,
                 *args: Any,
                 kernel_sizes: Sequence[int] | None = None,
                 fine_cfg: dict | None = None,
                 zero_init: bool = False,
                 **kwargs: Any):
        with stock_rules(type(self).__name__, args, kwargs):
            super().__init__(*args, **kwargs)
        channels = [(c, c) for c in reversed(self.in_channels[:-1])]
        self.fine = build_fine(kernel_sizes, fine_cfg, zero_init, channels, type(self).__name__)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps of the backbone, fine to coarse, -> as many maps of ``out_channels``."""
        check_levels(self, inputs, self.in_channels)
        outs = self.bottom_up(self.top_down(inputs))
        return tuple(conv(x) for conv, x in zip(self.out_convs, outs))

    def top_down(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Each level, aligned with the fused one above, beside that one upsampled; fine to coarse."""
        maps = [inputs[-1]]
        for step, (reduce, block) in enumerate(zip(self.reduce_layers, self.top_down_blocks)):
            maps[0] = reduce(maps[0])
            low, high = align(self.fine, step, inputs[-2 - step], maps[0], self.upsample_to)
            maps.insert(0, block(torch.cat((high, low), 1)))
        return maps

    def upsample_to(self, high: Tensor, low: Tensor) -> Tensor:
        """The neck's own way of upsampling, to the low map's size: twice the high one's, or one pixel less."""
        return F.interpolate(high, low.shape[2:], mode=self.upsample.mode, align_corners=self.upsample.align_corners)

    def bottom_up(self, maps: list[Tensor]) -> list[Tensor]:
        """Each level beside the one below it, downsampled."""
        outs = maps[:1]
        for downsample, block, x in zip(self.downsamples, self.bottom_up_blocks, maps[1:]):
            outs.append(block(torch.cat((downsample(outs[-1]), x), 1)))
        return outs


@MODELS.register_module()
class FINEYOLOXPAFPN(FINECSPFusion, YOLOXPAFPN):
    """YOLOX's neck with FINE before its top-down fusions.

    Takes all arguments of :class:`mmdet.models.YOLOXPAFPN`, and checkpoints of it load. In YOLOX-S (256 and 128
    channels at the fusions) FINE adds 659,584 parameters.

    .. code-block:: python

        neck=dict(type='FINEYOLOXPAFPN')  # over a recipe whose neck is a YOLOXPAFPN

    Args:
        *args, **kwargs: YOLOXPAFPN's own, passed on as they are.
        kernel_sizes: pooling window k of FINE for each fusion, counted from the top; by default (1, 2).
        fine_cfg: further arguments of :class:`mmxattn.layers.FINE`, the same for all.
        zero_init: start as the stock neck.

    Raises:
        ValueError: more ``kernel_sizes`` than fusions, channels that FINE's heads do not divide, an unknown option of
            FINE; at the first forward another number of inputs than ``in_channels``.
    """


@MODELS.register_module()
class FINECSPNeXtPAFPN(FINECSPFusion, CSPNeXtPAFPN):
    """RTMDet's neck with FINE before its top-down fusions; arguments and errors as FINEYOLOXPAFPN's.

    .. code-block:: python

        neck=dict(type='FINECSPNeXtPAFPN')  # over a recipe whose neck is a CSPNeXtPAFPN
    """
