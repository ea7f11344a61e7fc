"""A segmentor whose decode head sees the image."""
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor

from ...registry import MODELS

__all__ = ['ImageEncoderDecoder']


@MODELS.register_module()
class ImageEncoderDecoder(EncoderDecoder):
    """mmseg's EncoderDecoder that hands its heads the preprocessed image behind the maps, for AFMASegformerHead.

    Heads that pick their maps by a positive ``in_index`` do not notice.

    .. code-block:: python

        model = dict(type='ImageEncoderDecoder', decode_head=dict(type='AFMASegformerHead'))  # over a SegFormer recipe
    """

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) -> the maps, fine to coarse, and the images."""
        return (*super().extract_feat(inputs), inputs)
