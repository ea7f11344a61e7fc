"""RT-DETR's hybrid encoder, as a neck."""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.models.layers import DetrTransformerEncoder
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...layers.fine import sine_position_embedding
from ...registry import MODELS
from ...utils.arguments import arguments_told
from ...utils.memory_format import to_map, to_tokens
from ...utils.validation import check_channels, check_levels, check_number, check_whole
from ..necks.alignment import AlignCfg, align, build_aligners
from .csp_rep import CSPRepLayer
from .rep_vgg import ConvNorm, RepVGGBlock

__all__ = ['RTDETRHybridEncoder']


@MODELS.register_module()
class RTDETRHybridEncoder(BaseModule):
    """Self-attention on the coarsest level (AIFI), then fusion down and up the pyramid by convolutions (CCFF).

    Paper: Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection", Fig. 4. Beside its release: every image size
    passes; the position embedding follows the rows and columns of the map, which on squares, all that the release
    sees, gives its numbers.

    Args:
        in_channels: channels of the backbone's maps, fine to coarse.
        out_channels: channels C of the maps inside and out.
        expansion: width inside a fusion block over C: 1 in RT-DETR-R50, 0.5 in R18.
        num_blocks: RepVGG blocks in a fusion block.
        encoder: arguments of :class:`mmdet.models.DetrTransformerEncoder`, the self-attention.
        align_cfg: what aligns the levels before a top-down fusion, see ``alignment.py``. By default nothing does.
        init_cfg: as mmengine has it.

    Raises:
        ValueError: fewer than two levels, ``out_channels`` that 4 does not divide or that ``encoder`` does not have,
            an ``align_cfg`` for more fusions than there are; at the first forward another number of inputs.
    """

    slot = 'aligners'  # the attribute that holds them, and so their keys in a checkpoint

    def __init__(self, in_channels: Sequence[int], out_channels: int, encoder: dict, expansion: float = 1.0,
                 num_blocks: int = 3, align_cfg: AlignCfg = (), init_cfg: dict | None = None):
        super().__init__(init_cfg)
        name = type(self).__name__
        check_channels(name, in_channels)
        check_whole(name, out_channels=out_channels, num_blocks=num_blocks)
        check_number(name, expansion=expansion)
        levels = len(in_channels)
        if levels < 2 or out_channels % 4:
            raise ValueError(f'{name}: in_channels={list(in_channels)} has to name two levels or more, and '
                             f'out_channels={out_channels} a multiple of 4.')
        if not isinstance(encoder, dict):
            raise TypeError(f'{name}: encoder={encoder!r} is no dict; give one of the arguments of '
                            "mmdet's DetrTransformerEncoder.")
        with arguments_told(DetrTransformerEncoder, (), encoder):
            self.encoder = DetrTransformerEncoder(**encoder)
        if self.encoder.embed_dims != out_channels:
            raise ValueError(f'{name}: out_channels={out_channels}, but the encoder has '
                             f'embed_dims={self.encoder.embed_dims}; give both the same.')

        def fusions() -> nn.ModuleList:
            return nn.ModuleList(
                CSPRepLayer(2 * out_channels, out_channels, num_blocks, expansion) for _ in range(levels - 1))

        self.in_channels = list(in_channels)
        self.input_proj = nn.ModuleList(ConvNorm(channels, out_channels) for channels in in_channels)
        self.lateral_convs = nn.ModuleList(
            ConvNorm(out_channels, out_channels, act=nn.SiLU) for _ in range(levels - 1))
        self.fpn_blocks = fusions()
        self.downsample_convs = nn.ModuleList(
            ConvNorm(out_channels, out_channels, 3, 2, act=nn.SiLU) for _ in range(levels - 1))
        self.pan_blocks = fusions()
        self.fusion_channels = [(out_channels, out_channels)] * (levels - 1)
        setattr(self, self.slot, build_aligners(align_cfg, self.fusion_channels, name))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps of the backbone, fine to coarse, -> as many maps of ``out_channels``, fine to coarse."""
        check_levels(self, inputs, self.in_channels)
        maps = self.project(inputs)
        maps[-1] = self.attend(maps[-1])
        return self.bottom_up(self.top_down(maps))

    def project(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The backbone's maps at the width of the neck."""
        return [project(x) for project, x in zip(self.input_proj, inputs)]

    def attend(self, x: Tensor) -> Tensor:
        """Self-attention between all pixels of a map (AIFI): (B, C, H, W) -> (B, C, H, W)."""
        position = sine_position_embedding(x.shape[2], x.shape[3], x.shape[1], like=x)
        tokens = self.encoder(to_tokens(x), query_pos=position, key_padding_mask=None)  # (B, H*W, C)
        return to_map(tokens, x.shape[2:])

    def top_down(self, maps: list[Tensor]) -> list[Tensor]:
        """Fuse each level with the one above, from the top; of the upper one goes on what its 1x1 convolution gives."""
        fused = [maps[-1]]
        for step, (lateral, fuse) in enumerate(zip(self.lateral_convs, self.fpn_blocks)):
            fused[0] = lateral(fused[0])
            low, high = align(getattr(self, self.slot), step, maps[-2 - step], fused[0], self.upsample)
            fused.insert(0, fuse(torch.cat((high, low), 1)))
        return fused

    def bottom_up(self, maps: list[Tensor]) -> tuple[Tensor, ...]:
        """Fuse each level with the one below, from the bottom."""
        outs = [maps[0]]
        for downsample, fuse, x in zip(self.downsample_convs, self.pan_blocks, maps[1:]):
            outs.append(fuse(torch.cat((downsample(outs[-1]), x), 1)))
        return tuple(outs)

    @staticmethod
    def upsample(high: Tensor, low: Tensor) -> Tensor:
        """The high map on the low map's grid, by nearest neighbours."""
        return F.interpolate(high, size=low.shape[2:], mode='nearest')

    def merge(self) -> None:
        """Make each RepVGG block the one convolution that it is in eval mode. For good: training needs a new model."""
        for module in self.modules():
            if isinstance(module, RepVGGBlock):
                module.merge()
