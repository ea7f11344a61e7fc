"""Semantic FPN's decode head with cross-layer attention."""
from collections.abc import Sequence

from mmseg.models.decode_heads import FPNHead
from torch import Tensor

from ...registry import MODELS
from .cla_decoding import CLADecoding

__all__ = ['CLAFPNHead']


@MODELS.register_module()
class CLAFPNHead(CLADecoding, FPNHead):
    """Semantic FPN's head with CLA decoder blocks (CLA's Sec. V: convolutional encoder-decoders).

    The first convolution of each level, applied at the level's own size, gives its embedding F'_i. Semantic FPN sums
    the levels, and the output of the CLA blocks is one more term of the sum. Checkpoints of
    :class:`mmseg.models.FPNHead` can be loaded; only the keys of ``blocks`` are missing. With four levels of 256
    channels and 128 channels in the head, CLA adds 279,552 parameters.

    .. code-block:: python

        decode_head=dict(type='CLAFPNHead')  # in a Semantic FPN recipe

    Args:
        *args: Arguments of :class:`mmseg.models.FPNHead`.
        **kwargs: Arguments of :class:`mmseg.models.FPNHead`, and ``pairs``, ``patch_size``, ``normalisation``,
            ``combination`` and ``zero_init`` of :class:`CLADecoding`.

    Raises:
        ValueError: As in :class:`CLADecoding`.
    """

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Predict logits (B, num_classes, H, W) at the size of the finest map."""
        maps = self.select(inputs)
        embeddings = [head[0](x) for head, x in zip(self.scale_heads, maps)]
        out = self.blocks(maps, embeddings)
        for head, x in zip(self.scale_heads, embeddings):
            out = out + self.resize(head[1:](x), out.shape[2:])
        return self.cls_seg(out)
