"""Hybrid encoder of RT-DETR, as a neck (Fig. 4).

Differences from the release: images need not be square. The position embedding is computed for the map's rows and
columns; for square maps, it equals that of the release.
"""
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.layers import DetrTransformerEncoder
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...layers.fine import sine_position_embedding
from ...registry import MODELS
from ...utils.memory_format import to_map, to_tokens
from ...utils.validation import check_maps
from ..necks.alignment import AlignCfg, align, build_aligners
from .csp_rep import CSPRepLayer
from .rep_vgg import ConvNorm, RepVGGBlock

__all__ = ['BaseHybridEncoder', 'RTDETRHybridEncoder']


class BaseHybridEncoder(BaseModule):
    """Self-attention on the coarsest level (AIFI), then top-down and bottom-up fusion by convolutions (CCFF).

    Calls :meth:`align` before each top-down fusion. The arguments are those of :class:`RTDETRHybridEncoder`.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 out_channels: int,
                 encoder: dict,
                 expansion: float = 1.0,
                 num_blocks: int = 3,
                 init_cfg: dict | None = None):
        super().__init__(init_cfg)
        if out_channels % 4:
            raise ValueError(f'{type(self).__name__}: out_channels must be a multiple of 4, got {out_channels}.')
        self.encoder = DetrTransformerEncoder(**encoder)
        if self.encoder.embed_dims != out_channels:
            raise ValueError(f'{type(self).__name__}: embed_dims of encoder must equal out_channels, got '
                             f'{self.encoder.embed_dims} and {out_channels}.')
        self.in_channels = list(in_channels)
        num_fusions = len(self.in_channels) - 1
        self.fusion_channels = [(out_channels, out_channels)] * num_fusions  # (low, high)
        self.input_proj = nn.ModuleList(ConvNorm(channels, out_channels) for channels in in_channels)
        self.lateral_convs = nn.ModuleList(
            ConvNorm(out_channels, out_channels, act=nn.SiLU) for _ in range(num_fusions))
        self.fpn_blocks = nn.ModuleList(
            CSPRepLayer(2 * out_channels, out_channels, num_blocks, expansion) for _ in range(num_fusions))
        self.downsample_convs = nn.ModuleList(
            ConvNorm(out_channels, out_channels, 3, 2, act=nn.SiLU) for _ in range(num_fusions))
        self.pan_blocks = nn.ModuleList(
            CSPRepLayer(2 * out_channels, out_channels, num_blocks, expansion) for _ in range(num_fusions))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Encode and fuse the backbone's maps, fine to coarse. The outputs have ``out_channels`` channels."""
        check_maps(self, inputs, self.in_channels)
        maps = self.project(inputs)
        maps[-1] = self.attend(maps[-1])
        return self.bottom_up(self.top_down(maps))

    def align(self, step: int, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two maps to concatenate in fusion ``step``, counted from the top, both of the low map's size."""
        raise NotImplementedError

    def project(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Project the backbone's maps to ``out_channels``."""
        return [project(x) for project, x in zip(self.input_proj, inputs)]

    def attend(self, x: Tensor) -> Tensor:
        """Apply self-attention between all pixels (AIFI): (B, C, H, W) -> (B, C, H, W)."""
        position = sine_position_embedding(x.shape[2], x.shape[3], x.shape[1], like=x)
        tokens = self.encoder(to_tokens(x), query_pos=position, key_padding_mask=None)  # (B, H*W, C)
        return to_map(tokens, x.shape[2:])

    def top_down(self, maps: list[Tensor]) -> list[Tensor]:
        """Fuse each level with the one above. The 1x1 convolution of a level also feeds its bottom-up fusion."""
        fused = [maps[-1]]
        for step, (lateral, fuse) in enumerate(zip(self.lateral_convs, self.fpn_blocks)):
            fused[0] = lateral(fused[0])
            low, high = self.align(step, maps[-2 - step], fused[0])
            fused.insert(0, fuse(torch.cat((high, low), 1)))
        return fused

    def bottom_up(self, maps: list[Tensor]) -> tuple[Tensor, ...]:
        """Fuse each level with the one below."""
        outs = [maps[0]]
        for downsample, fuse, x in zip(self.downsample_convs, self.pan_blocks, maps[1:]):
            outs.append(fuse(torch.cat((downsample(outs[-1]), x), 1)))
        return tuple(outs)

    @staticmethod
    def upsample(high: Tensor, low: Tensor) -> Tensor:
        """Upsample the high map to the low map's size with nearest-neighbor interpolation."""
        return F.interpolate(high, size=low.shape[2:], mode='nearest')

    def merge(self) -> None:
        """Merge the branches of all RepVGG blocks for inference. This cannot be undone."""
        for module in self.modules():
            if isinstance(module, RepVGGBlock):
                module.merge()


@MODELS.register_module()
class RTDETRHybridEncoder(BaseHybridEncoder):
    """RT-DETR's hybrid encoder, optionally with aligners before its top-down fusions.

    Args:
        in_channels: Channels of the backbone's maps, fine to coarse.
        out_channels: Channels of the neck, a multiple of 4.
        encoder: Arguments of :class:`mmdet.models.DetrTransformerEncoder`.
        expansion: Ratio of the hidden channels of a fusion block to ``out_channels``: 1 in RT-DETR-R50, 0.5 in R18.
        num_blocks: Number of RepVGG blocks in a fusion block.
        align_cfg: Configs of the aligners, see :mod:`mmxattn.models.necks.alignment`. No aligners by default.
        init_cfg: Initialization config of mmengine.

    Raises:
        ValueError: If ``out_channels`` is not a multiple of 4 or differs from the encoder's ``embed_dims``, or if
            ``align_cfg`` has more entries than there are fusions.
    """

    def __init__(self, *args: Any, align_cfg: AlignCfg = (), **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.aligners = build_aligners(align_cfg, self.fusion_channels)

    def align(self, step: int, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the aligner of fusion ``step``."""
        return align(self.aligners, step, low, high, self.upsample)
