"""Necks of YOLOX and RTMDet with FINE before their top-down fusions."""
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from mmdet.models.necks import YOLOXPAFPN, CSPNeXtPAFPN
from torch import Tensor, nn

from ...registry import MODELS
from ...utils.validation import check_maps
from .alignment import align, build_fine

__all__ = ['FINECSPNeXtPAFPN', 'FINEYOLOXPAFPN']


if TYPE_CHECKING:

    class StockNeck(nn.Module):
        """Attributes that both stock necks share; mmdet has no annotations."""

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
    """Mixin for both necks: FINE and the two pathways.

    The stock 1x1 convolutions (``reduce_layers``) already reduce the high map to the low map's channels, so both inputs
    of FINE have equal channels and the convolution of Eq. 10 is not needed. Unlike the stock necks, which upsample by a
    factor of 2, this also supports maps of odd size.
    """

    def __init__(self,
                 *args: Any,
                 kernel_sizes: Sequence[int] | None = None,
                 fine_cfg: dict | None = None,
                 zero_init: bool = False,
                 **kwargs: Any):
        super().__init__(*args, **kwargs)
        channels = [(c, c) for c in reversed(self.in_channels[:-1])]
        self.fine = build_fine(kernel_sizes, fine_cfg, zero_init, channels)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Fuse the backbone's maps, fine to coarse, into the same number of maps with ``out_channels`` channels."""
        check_maps(self, inputs, self.in_channels)
        outs = self.bottom_up(self.top_down(inputs))
        return tuple(conv(x) for conv, x in zip(self.out_convs, outs))

    def top_down(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Concatenate each aligned level with the upsampled one above."""
        maps = [inputs[-1]]
        for step, (reduce, block) in enumerate(zip(self.reduce_layers, self.top_down_blocks)):
            maps[0] = reduce(maps[0])
            low, high = align(self.fine, step, inputs[-2 - step], maps[0], self.upsample_to)
            maps.insert(0, block(torch.cat((high, low), 1)))
        return maps

    def upsample_to(self, high: Tensor, low: Tensor) -> Tensor:
        """Upsample to the low map's size in the mode of the stock neck."""
        return F.interpolate(high, low.shape[2:], mode=self.upsample.mode, align_corners=self.upsample.align_corners)

    def bottom_up(self, maps: list[Tensor]) -> list[Tensor]:
        """Concatenate each level with the downsampled one below."""
        outs = maps[:1]
        for downsample, block, x in zip(self.downsamples, self.bottom_up_blocks, maps[1:]):
            outs.append(block(torch.cat((downsample(outs[-1]), x), 1)))
        return outs


@MODELS.register_module()
class FINEYOLOXPAFPN(FINECSPFusion, YOLOXPAFPN):
    """YOLOX's neck with FINE before its top-down fusions.

    Takes the arguments of :class:`mmdet.models.YOLOXPAFPN` and loads its checkpoints. In YOLOX-S (256 and 128 channels
    at the fusions) FINE adds 659,584 parameters.

    .. code-block:: python

        neck=dict(type='FINEYOLOXPAFPN')  # replaces a YOLOXPAFPN

    Args:
        *args: Arguments of :class:`mmdet.models.YOLOXPAFPN`.
        kernel_sizes: Pooling window k of FINE for each fusion from the top. Defaults to (1, 2).
        fine_cfg: Further arguments of :class:`mmxattn.layers.FINE`, shared by all fusions.
        zero_init: Start as the stock neck.
        **kwargs: Arguments of :class:`mmdet.models.YOLOXPAFPN`.

    Raises:
        ValueError: If there are more ``kernel_sizes`` than fusions or an argument is invalid for FINE.
    """


@MODELS.register_module()
class FINECSPNeXtPAFPN(FINECSPFusion, CSPNeXtPAFPN):
    """RTMDet's neck with FINE before its top-down fusions. See :class:`FINEYOLOXPAFPN` for arguments.

    .. code-block:: python

        neck=dict(type='FINECSPNeXtPAFPN')  # replaces a CSPNeXtPAFPN
    """
