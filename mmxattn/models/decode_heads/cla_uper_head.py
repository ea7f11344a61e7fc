"""UPerNet's decode head with cross-layer attention."""
from collections.abc import Sequence

import torch
from mmseg.models.decode_heads import UPerHead
from torch import Tensor

from ...registry import MODELS
from .cla_decoding import CLADecoding

__all__ = ['CLAUPerHead']


@MODELS.register_module()
class CLAUPerHead(CLADecoding, UPerHead):
    """UPerNet's head with CLA decoder blocks beside its fusion (CLA's Sec. V: convolutional encoder-decoders).

    The maps that UPerNet resamples and fuses are the embeddings F'_i, each at its level's own size, and the backbone's
    maps are the F_i. The fusion stays, and the blocks' output is added to its. Takes all arguments of
    :class:`mmseg.models.UPerHead`; its checkpoints load, and what is missing are the keys of ``blocks``. With ResNet-50
    and 512 channels it adds 3,937,280 parameters.

    .. code-block:: python

        decode_head=dict(type='CLAUPerHead')  # over an UPerNet recipe

    Args:
        *args, **kwargs: UPerHead's own, passed on as they are, and those of
            :class:`mmxattn.models.decode_heads.cla_decoding.CLADecoding`: pairs, patch_size, normalisation,
            combination, and zero_init to start as the stock head.

    Raises:
        ValueError: pairs that do not fit the levels, an unknown option; at the first forward too few maps, or maps of
            wrong sizes.
    """

    def _forward_feature(self, inputs: Sequence[Tensor]) -> Tensor:
        """Maps of the backbone, fine to coarse -> what is classified (B, C, H, W), at the finest map's size."""
        maps = self.select(inputs)
        embeddings = self.pyramid(maps)
        size = embeddings[0].shape[2:]
        fused = self.fpn_bottleneck(torch.cat([self.resize(x, size) for x in embeddings], dim=1))
        return fused + self.blocks(maps, embeddings)

    def pyramid(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """UPerNet's top-down pathway: one map of ``channels`` a level, each at its level's size."""
        laterals = [conv(x) for conv, x in zip(self.lateral_convs, maps)] + [self.psp_forward(maps)]
        for i in range(len(laterals) - 1, 0, -1):
            laterals[i - 1] = laterals[i - 1] + self.resize(laterals[i], laterals[i - 1].shape[2:])
        return [conv(x) for conv, x in zip(self.fpn_convs, laterals)] + laterals[-1:]
