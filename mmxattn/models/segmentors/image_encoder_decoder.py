"""Segmentor that passes the image to its decode heads."""
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor

from ...registry import MODELS

__all__ = ['ImageEncoderDecoder']


@MODELS.register_module()
class ImageEncoderDecoder(EncoderDecoder):
    """mmseg's EncoderDecoder that appends the preprocessed image to the maps, for :class:`AFMASegformerHead`.

    Heads that select maps by a non-negative ``in_index`` work unchanged.

    .. code-block:: python

        model = dict(type='ImageEncoderDecoder', decode_head=dict(type='AFMASegformerHead'))  # in a SegFormer recipe
    """

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the maps, fine to coarse, and the image (B, 3, H, W)."""
        return (*super().extract_feat(inputs), inputs)
