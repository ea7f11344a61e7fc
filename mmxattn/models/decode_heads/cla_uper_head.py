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
    """UPerNet's head with CLA decoder blocks (CLA's Sec. V: convolutional encoder-decoders).

    The maps that UPerNet resizes and fuses are the embeddings F'_i, the backbone's maps are the F_i, and the output of
    the CLA blocks is added to the fused map. Checkpoints of :class:`mmseg.models.UPerHead` can be loaded; only the keys
    of ``blocks`` are missing. With ResNet-50 and 512 channels, CLA adds 3,937,280 parameters.

    .. code-block:: python

        decode_head=dict(type='CLAUPerHead')  # in a UPerNet recipe

    Args:
        *args: Arguments of :class:`mmseg.models.UPerHead`.
        **kwargs: Arguments of :class:`mmseg.models.UPerHead`, and ``pairs``, ``patch_size``, ``normalisation``,
            ``combination`` and ``zero_init`` of :class:`CLADecoding`.

    Raises:
        ValueError: As in :class:`CLADecoding`.
    """

    def _forward_feature(self, inputs: Sequence[Tensor]) -> Tensor:
        """Compute the map (B, C, H, W) to classify, at the size of the finest map."""
        maps = self.select(inputs)
        embeddings = self.pyramid(maps)
        size = embeddings[0].shape[2:]
        fused = self.fpn_bottleneck(torch.cat([self.resize(x, size) for x in embeddings], dim=1))
        return fused + self.blocks(maps, embeddings)

    def pyramid(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Apply UPerNet's top-down pathway; each map keeps the size of its level."""
        laterals = [conv(x) for conv, x in zip(self.lateral_convs, maps)] + [self.psp_forward(maps)]
        for i in range(len(laterals) - 1, 0, -1):
            laterals[i - 1] = laterals[i - 1] + self.resize(laterals[i], laterals[i - 1].shape[2:])
        return [conv(x) for conv, x in zip(self.fpn_convs, laterals)] + laterals[-1:]
