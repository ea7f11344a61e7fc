"""SegFormer's decode head with cross-layer attention."""
from collections.abc import Sequence

import torch
from mmseg.models.decode_heads import SegformerHead
from mmseg.models.utils import resize
from torch import Tensor, nn

from ...layers.cla import CLADecoderBlock
from ...registry import MODELS

__all__ = ['CLASegformerHead']


class MissingLevelError(ValueError, IndexError):
    """Fewer maps than ``in_index`` asks for. Stock heads end in an IndexError, which callers may go on catching."""


@MODELS.register_module()
class CLASegformerHead(SegformerHead):
    """SegFormer's head whose levels are fused in pairs by CLA decoder blocks instead of by one convolution.

    Takes all arguments of :class:`mmseg.models.SegformerHead`. It adds 191,392 parameters to SegFormer-B0 and 353,600
    to B1 (CLA's Table 1 prints +0.19M and +0.1M; the latter cannot be had from the paper's text at equal width).

    .. code-block:: python

        decode_head=dict(type='CLASegformerHead')  # over a SegFormer recipe

    Args:
        pairs: levels (i, j) of each decoder block in order, indices into the head's inputs, i finer than j. Each level
            must be in a pair, and the last pair must hold level 0, at whose size the head predicts.
        patch_size: patches d of :class:`mmxattn.layers.CrossLayerAttention`.
        zero_init: start as the stock head: its fusion convolution stays, and the blocks' output is added to its,
            beginning at zero.
        **kwargs: SegformerHead's own, passed on as they are.

    Raises:
        ValueError: pairs that do not fit the levels; at the first forward too few maps, or maps of wrong sizes.
    """

    def __init__(self,
                 pairs: Sequence[tuple[int, int]] = ((1, 2), (0, 3)),
                 patch_size: int = 1,
                 zero_init: bool = False,
                 **kwargs):
        super().__init__(**kwargs)
        self.pairs = check_pairs(pairs, len(self.in_channels))
        self.zero_init = zero_init
        self.blocks = nn.ModuleList(
            CLADecoderBlock(self.in_channels[i], self.in_channels[j], self.channels, has_previous=step > 0,
                            patch_size=patch_size, resize=self.resize) for step, (i, j) in enumerate(self.pairs))
        if zero_init:
            self.blocks[-1].zero_output()
        else:
            del self.fusion_conv

    def init_weights(self):
        """As ``init_cfg`` says; an identity start stays one."""
        super().init_weights()
        if self.zero_init:
            self.blocks[-1].zero_output()

    def resize(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """Resample a map as the head's arguments say."""
        return resize(x, size=size, mode=self.interpolate_mode, align_corners=self.align_corners)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Maps of the backbone, fine to coarse -> logits (B, num_classes, H, W) at the finest map's size."""
        if len(inputs) <= max(self.in_index):
            raise MissingLevelError(f'CLASegformerHead: got {len(inputs)} levels; in_index={list(self.in_index)} asks '
                                    f'for {max(self.in_index) + 1}.')
        maps = self._transform_inputs(inputs)
        embeddings = [conv(x) for conv, x in zip(self.convs, maps)]
        x = None
        for block, (i, j) in zip(self.blocks, self.pairs):
            x = block(maps[i], maps[j], embeddings[i], embeddings[j], x)
        if self.zero_init:
            x = x + self.fusion_conv(torch.cat([self.resize(e, maps[0].shape[2:]) for e in embeddings], dim=1))
        return self.cls_seg(x)


def check_pairs(pairs: Sequence[tuple[int, int]], num_levels: int) -> tuple[tuple[int, int], ...]:
    """The pairs as tuples, or one ValueError that says which of them does not fit."""
    pairs = tuple(tuple(pair) for pair in pairs)
    for pair in pairs:
        if len(pair) != 2 or not 0 <= pair[0] < pair[1] < num_levels:
            raise ValueError(f'CLASegformerHead: pair {pair} in pairs={pairs} must be (i, j) with i finer than j, '
                             f'0 <= i < j < {num_levels}.')
    if not pairs or pairs[-1][0] != 0:
        raise ValueError(f'CLASegformerHead: the last of pairs={pairs} must hold level 0, the finest.')
    unused = set(range(num_levels)).difference(*pairs)
    if unused:
        raise ValueError(f'CLASegformerHead: levels {sorted(unused)} are in none of pairs={pairs}.')
    return pairs
