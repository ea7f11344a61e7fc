"""CLA's decoder: one block a pair of levels, each on what the block before gave.

Paper: Chung et al., "Utilizing Cross Layer Attentions for Semantic Segmentation of Small Objects", Sec. III-B, Fig. 1.
The paper has the pairs (2, 3) and (1, 4), counted from 1, and proposes any two levels and any number of pairs.
"""
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from ..ops.resampling import resample
from ..utils.validation import check_channels
from .cla import CLADecoderBlock

__all__ = ['CLADecoder']


class CLADecoder(nn.ModuleList):
    """CLA decoder blocks in a row.

    Args:
        in_channels: channels C_i of each level's map, fine to coarse.
        embed_channels: channels E of each level's embedding, and of the output.
        pairs: levels (i, j) of each block in order, counted from 0, i finer than j. The last pair must hold level 0, at
            whose size the output is.
        patch_size, normalisation: as in :class:`mmxattn.layers.CrossLayerAttention`, the same for all blocks.
        combination, resize: as in :class:`mmxattn.layers.cla.CLADecoderBlock`.

    Shape:
        maps (B, C_i, H_i, W_i) and their embeddings (B, E, H_i, W_i), one a level -> (B, E, H_0, W_0).

    Raises:
        ValueError: pairs that do not fit the levels, and what a block raises.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 embed_channels: int,
                 pairs: Sequence[tuple[int, int]] = ((1, 2), (0, 3)),
                 patch_size: int = 1,
                 normalisation: bool = True,
                 combination: str = 'add',
                 resize: Callable[[Tensor, Sequence[int]], Tensor] = resample):
        check_channels('CLADecoder', in_channels)
        pairs = check_pairs(pairs, len(in_channels))
        super().__init__(
            CLADecoderBlock(in_channels[i], in_channels[j], embed_channels, has_previous=step > 0,
                            patch_size=patch_size, normalisation=normalisation, combination=combination, resize=resize)
            for step, (i, j) in enumerate(pairs))
        self.pairs = pairs

    def zero_output(self) -> None:
        """Make the output nothing, with gradients that can leave that point."""
        self[-1].zero_output()

    def forward(self, maps: Sequence[Tensor], embeddings: Sequence[Tensor]) -> Tensor:
        x: Any = None  # before the first of at least one block
        for block, (i, j) in zip(self, self.pairs):
            x = block(maps[i], maps[j], embeddings[i], embeddings[j], x)
        return x


def check_pairs(pairs: Sequence[tuple[int, int]], num_levels: int) -> tuple[tuple[int, int], ...]:
    """The pairs as tuples, or one ValueError that says which of them does not fit."""
    try:
        pairs = tuple(tuple(pair) for pair in pairs)
    except TypeError:
        raise TypeError(f'CLADecoder: pairs={pairs!r} is no list of pairs; give (i, j) for each block, as '
                        '((1, 2), (0, 3)).') from None
    levels = range(num_levels)
    for pair in pairs:
        if len(pair) != 2 or any(level not in levels for level in pair) or pair[0] >= pair[1]:
            raise ValueError(f'CLADecoder: pair {pair} in pairs={pairs} must be (i, j) with i finer than j, '
                             f'0 <= i < j < {num_levels}.')
    if not pairs or pairs[-1][0] != 0:
        raise ValueError(f'CLADecoder: the last of pairs={pairs} must hold level 0, the finest.')
    return pairs
