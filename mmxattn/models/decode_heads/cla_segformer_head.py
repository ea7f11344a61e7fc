"""SegFormer's decode head with cross-layer attention."""
from collections.abc import Sequence

import torch
from mmseg.models.decode_heads import SegformerHead
from torch import Tensor

from ...registry import MODELS
from .cla_decoding import CLADecoding

__all__ = ['CLASegformerHead']


@MODELS.register_module()
class CLASegformerHead(CLADecoding, SegformerHead):
    """SegFormer's head whose levels are fused in pairs by CLA decoder blocks instead of by one convolution.

    Takes all arguments of :class:`mmseg.models.SegformerHead`. It adds 191,392 parameters to SegFormer-B0 and 353,600
    to B1 (CLA's Table 1 prints +0.19M and +0.1M; the latter cannot be had from the paper's text at equal width).

    .. code-block:: python

        decode_head=dict(type='CLASegformerHead')  # over a SegFormer recipe

    Args:
        **kwargs: SegformerHead's own, passed on as they are, and
        pairs: levels (i, j) of each decoder block in order, indices into the head's inputs, i finer than j. Each level
            must be in a pair, and the last pair must hold level 0, at whose size the head predicts.
        patch_size: patches d of :class:`mmxattn.layers.CrossLayerAttention`, in pixels.
        normalisation: whether correlations and products are scaled (the default), or raw as printed.
        combination: 'add' or 'cat', how CLA's output joins a block's.
        zero_init: start as the stock head: its fusion convolution stays, and the blocks' output is added to its,
            beginning at zero.

    Raises:
        ValueError: pairs that do not fit the levels, an unknown option; at the first forward too few maps, or maps of
            wrong sizes.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        if self.zero_init:
            return
        del self.fusion_conv
        unused = set(range(len(self.in_channels))).difference(*self.blocks.pairs)
        if unused:
            raise ValueError(f'CLASegformerHead: levels {sorted(unused)} are in none of pairs={self.blocks.pairs}; '
                             f'pair them, or leave them out of in_index={list(self.in_index)}.')

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Maps of the backbone, fine to coarse -> logits (B, num_classes, H, W) at the finest map's size."""
        maps = self.select(inputs)
        embeddings = [conv(x) for conv, x in zip(self.convs, maps)]
        x = self.blocks(maps, embeddings)
        if self.zero_init:
            x = x + self.fusion_conv(torch.cat([self.resize(e, maps[0].shape[2:]) for e in embeddings], dim=1))
        return self.cls_seg(x)
