"""CLA's decoder: one block per pair of levels. Each block refines the output of the previous one.

Paper: Chung et al., "Utilizing Cross Layer Attentions for Semantic Segmentation of Small Objects", Sec. III-B, Fig. 1.
The paper uses the pairs (2, 3) and (1, 4), counted from 1, and suggests trying other and additional pairs.
"""
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from .cla import CLADecoderBlock, resize

__all__ = ['CLADecoder']


class CLADecoder(nn.ModuleList):
    """A sequence of CLA decoder blocks.

    Args:
        in_channels: Channels C_i of each level, from fine to coarse.
        embed_channels: Channels E of the embedding of each level and of the output.
        pairs: Levels (i, j) of each block in order, counted from 0, with i finer than j. The last pair must contain
            level 0, which determines the output size.
        patch_size: See :class:`mmxattn.layers.CrossLayerAttention`.
        normalisation: See :class:`mmxattn.layers.CrossLayerAttention`.
        combination: See :class:`mmxattn.layers.cla.CLADecoderBlock`.
        resize: Function that interpolates a map to a size (H, W).

    Shape:
        - maps: (B, C_i, H_i, W_i) per level
        - embeddings: (B, E, H_i, W_i) per level
        - output: (B, E, H_0, W_0)
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 embed_channels: int,
                 pairs: Sequence[tuple[int, int]] = ((1, 2), (0, 3)),
                 patch_size: int = 1,
                 normalisation: bool = True,
                 combination: str = 'add',
                 resize: Callable[[Tensor, Sequence[int]], Tensor] = resize):
        for pair in pairs:
            if len(pair) != 2 or not 0 <= pair[0] < pair[1] < len(in_channels):
                raise ValueError('CLADecoder: pairs must be levels (i, j) with i finer than j, such as '
                                 f'((1, 2), (0, 3)) for 4 levels, got {pair} for {len(in_channels)} levels.')
        if not pairs or pairs[-1][0] != 0:
            raise ValueError(f'CLADecoder: the last pair must contain level 0, the finest one, got pairs={pairs}.')
        super().__init__(
            CLADecoderBlock(
                in_channels[i],
                in_channels[j],
                embed_channels,
                has_previous=step > 0,
                patch_size=patch_size,
                normalisation=normalisation,
                combination=combination,
                resize=resize) for step, (i, j) in enumerate(pairs))
        self.pairs = tuple(pairs)

    def zero_output(self) -> None:
        """Zero the last layers, so that the output starts at zero and can still be trained."""
        self[-1].zero_output()

    def forward(self, maps: Sequence[Tensor], embeddings: Sequence[Tensor]) -> Tensor:
        out: Any = None
        for block, (i, j) in zip(self, self.pairs):
            out = block(maps[i], maps[j], embeddings[i], embeddings[j], out)
        return out
