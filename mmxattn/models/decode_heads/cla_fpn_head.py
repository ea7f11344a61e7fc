"""Semantic FPN's decode head with cross-layer attention."""
from collections.abc import Sequence

from mmseg.models.decode_heads import FPNHead
from torch import Tensor

from ...registry import MODELS
from .cla_decoding import CLADecoding

__all__ = ['CLAFPNHead']


@MODELS.register_module()
class CLAFPNHead(CLADecoding, FPNHead):
    """Semantic FPN's head with CLA decoder blocks beside it (CLA's Sec. V: convolutional encoder-decoders).

    The first convolution of each level gives its embedding F'_i, while that is still at the level's own size. Semantic
    FPN sums the levels instead of fusing them, so nothing of it goes: the blocks' output is one more term of the sum.
    Takes all arguments of :class:`mmseg.models.FPNHead`; its checkpoints load, and what is missing are the keys of
    ``blocks``. With four levels of 256 channels and 128 channels inside it adds 279,552 parameters.

    .. code-block:: python

        decode_head=dict(type='CLAFPNHead')  # over a Semantic FPN recipe

    Args:
        *args, **kwargs: FPNHead's own, passed on as they are, and those of
            :class:`mmxattn.models.decode_heads.cla_decoding.CLADecoding`: pairs, patch_size, normalisation,
            combination, and zero_init to start as the stock head.

    Raises:
        ValueError: pairs that do not fit the levels, an unknown option; at the first forward too few maps, or maps of
            wrong sizes.
    """

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Maps of the neck, fine to coarse -> logits (B, num_classes, H, W) at the finest map's size."""
        maps = self.select(inputs)
        embeddings = [head[0](x) for head, x in zip(self.scale_heads, maps)]
        out = self.blocks(maps, embeddings)
        for head, x in zip(self.scale_heads, embeddings):
            out = out + self.resize(head[1:](x), out.shape[2:])
        return self.cls_seg(out)
