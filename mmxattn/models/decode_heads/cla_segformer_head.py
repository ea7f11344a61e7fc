"""SegFormer's decode head with cross-layer attention."""
from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.decode_heads import SegformerHead
from torch import Tensor

from ...registry import MODELS
from .cla_decoding import CLADecoding

__all__ = ['CLASegformerHead']


@MODELS.register_module()
class CLASegformerHead(CLADecoding, SegformerHead):
    """SegFormer's head with CLA decoder blocks instead of the fusion convolution.

    Adds 191,392 parameters to SegFormer-B0 and 353,600 to B1. CLA's Table 1 reports +0.19M and +0.1M; the latter cannot
    be reproduced from the paper's text at the same width.

    .. code-block:: python

        decode_head=dict(type='CLASegformerHead')  # in a SegFormer recipe

    Args:
        **kwargs: Arguments of :class:`mmseg.models.SegformerHead`, and ``pairs``, ``patch_size``, ``normalisation``,
            ``combination`` and ``zero_init`` of :class:`CLADecoding`. Without ``zero_init`` each level must be in a
            pair. With ``zero_init`` the fusion convolution stays and the output of the blocks, initially zero, is
            added to its output, so the head starts as the stock head.

    Raises:
        ValueError: As in :class:`CLADecoding`, or if a level is not in any pair.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        if self.zero_init:
            return
        del self.fusion_conv
        unused = set(range(len(self.in_channels))).difference(*self.blocks.pairs)
        if unused:
            raise ValueError(f'CLASegformerHead: pairs must contain every level, got {self.blocks.pairs} without '
                             f'{sorted(unused)}. Add a pair or remove the level from in_index={list(self.in_index)}.')

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Predict logits (B, num_classes, H, W) at the size of the finest map."""
        maps = self.select(inputs)
        embeddings = [conv(x) for conv, x in zip(self.convs, maps)]
        x = self.blocks(maps, embeddings)
        if self.zero_init:
            x = x + self.fusion_conv(torch.cat([self.resize(e, maps[0].shape[2:]) for e in embeddings], dim=1))
        return self.cls_seg(x)
