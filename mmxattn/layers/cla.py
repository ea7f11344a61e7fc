"""CLA: correlation between two feature levels, used to bring the detail of the finer one back.

Paper: Chung et al., "Utilizing Cross Layer Attentions for Semantic Segmentation of Small Objects".

For a fine map F_i and a coarse map F_j, phi cuts patches of d x d pixels. Encoder (Eq. 1), per channel c:
    CLA_c = phi(Conv1x1(F_i))_c phi(F_j)_c^T                                  (N_i x N_j)
Decoder (Eq. 2), per channel e of the embedding F'_j:
    O_e = (sum_c W_ec CLA_c + b_e) phi(F'_j)_e                                (N_i x d^2, folded back to F_i's size)

Beside the paper's text:
* Eq. 2 and the prose around it disagree on shapes; this is the reading whose shapes close;
* as in AFMA, from which CLA descends, the correlation is scaled by 1/d^2 and the product by 1/N_j: raw products grow
  with both;
* there is no softmax, so the product is associative. With G_ec = phi(F_j)_c^T phi(F'_j)_e (d^2 x d^2),
      O_e = sum_c W_ec phi(A)_c G_ec + b_e sum over j of phi(F'_j)_e,
  at d = 1 a 1x1 convolution whose weights come from the data. Nothing of size N_i x N_j is made. For larger patches
  the cheaper of the two orders is taken, by counting;
* maps that d does not divide are padded with zeros on the right and at the bottom.
"""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ['CrossLayerAttention', 'CLADecoderBlock']


def to_patches(x: Tensor, size: int) -> Tensor:
    """phi: (B, C, H, W) -> (B, C, N, d*d), patches row by row, zero-padded on the right and at the bottom."""
    if size == 1:
        return x.flatten(2).unsqueeze(3)
    height, width = x.shape[2:]
    x = F.pad(x, (0, -width % size, 0, -height % size))
    x = x.unflatten(3, (-1, size)).unflatten(2, (-1, size))  # (B, C, H/d, d, W/d, d)
    return x.transpose(3, 4).flatten(4, 5).flatten(2, 3)


def from_patches(x: Tensor, size: int, height: int, width: int) -> Tensor:
    """The inverse of :func:`to_patches`: (B, C, N, d*d) -> (B, C, H, W)."""
    columns = -(-width // size)
    x = x.unflatten(3, (size, size)).unflatten(2, (-1, columns)).transpose(3, 4)  # (B, C, H/d, d, W/d, d)
    return x.flatten(4, 5).flatten(2, 3)[:, :, :height, :width]


class CrossLayerAttention(nn.Module):
    """CLA encoder and decoder for one pair of levels.

    Args:
        fine_channels: channels C_i of the finer map F_i.
        coarse_channels: channels C_j of the coarser map F_j.
        embed_channels: channels E of the embedding F'_j, and of the output.
        patch_size: side d of a patch, in pixels of either map. The paper gives none; 1 is exact and cheapest.
        zero_init: start with an output of zero.

    Shape:
        fine (B, C_i, H_i, W_i), coarse (B, C_j, H_j, W_j), embedding (B, E, H_j, W_j) -> (B, E, H_i, W_i), where
        H_i >= H_j and W_i >= W_j.

    Raises:
        ValueError: a patch smaller than 1 at construction; at the first forward a fine map smaller than the coarse
            one, or maps that do not belong together.
    """

    def __init__(self,
                 fine_channels: int,
                 coarse_channels: int,
                 embed_channels: int,
                 patch_size: int = 1,
                 zero_init: bool = False):
        super().__init__()
        if patch_size < 1:
            raise ValueError(f'CrossLayerAttention: patch_size={patch_size} must be at least 1 pixel.')
        self.patch_size = patch_size
        self.project = nn.Conv2d(fine_channels, coarse_channels, 1)  # Eq. 1
        self.mix = nn.Conv2d(coarse_channels, embed_channels, 1)  # Eq. 2, on the correlations
        if zero_init:
            self.zero_output()

    def zero_output(self) -> None:
        """Make the output nothing, with a gradient that can leave that point."""
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)

    def check(self, fine: Tensor, coarse: Tensor, embedding: Tensor) -> None:
        """Raise one ValueError where the three maps cannot be a pair of levels of this layer."""
        given = (fine.shape[1], coarse.shape[1], embedding.shape[1])
        asked = (self.project.in_channels, self.mix.in_channels, self.mix.out_channels)
        if given != asked:
            raise ValueError(f'CrossLayerAttention: fine, coarse and embedding have {given} channels; it was built '
                             f'for {asked}.')
        if coarse.shape[2:] != embedding.shape[2:]:
            raise ValueError(f'CrossLayerAttention: the coarse map {tuple(coarse.shape[2:])} and its embedding '
                             f'{tuple(embedding.shape[2:])} differ in size.')
        if fine.shape[2] < coarse.shape[2] or fine.shape[3] < coarse.shape[3]:
            raise ValueError(f'CrossLayerAttention: the fine map {tuple(fine.shape[2:])} is smaller than the coarse '
                             f'map {tuple(coarse.shape[2:])}; give the finer level first.')

    def correlate_first(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """The paper's order: correlations (N_i x N_j), mixed over channels, times the values."""
        correlation = query @ key.transpose(2, 3)  # Eq. 1: (B, C_j, N_i, N_j)
        return self.mix(correlation) @ value  # Eq. 2: (B, E, N_i, d*d)

    def aggregate_first(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """The same product from the other end: keys and values are summed over the coarse map first."""
        context = torch.einsum('bcnp,benq->becpq', key, value)  # (B, E, C_j, d*d, d*d)
        weights = context * self.mix.weight.view(*self.mix.weight.shape[:2], 1, 1)
        out = torch.einsum('bcnp,becpq->benq', query, weights)  # (B, E, N_i, d*d)
        return out + self.mix.bias.view(-1, 1, 1) * value.sum(2, keepdim=True)

    def aggregates_first(self, num_fine: int, num_coarse: int) -> bool:
        """Whether :meth:`aggregate_first` takes fewer multiply-adds, for N_i and N_j patches."""
        embed, coarse = self.mix.weight.shape[:2]
        area = self.patch_size**2
        correlate = num_fine * num_coarse * (coarse * area + coarse * embed + embed * area)
        aggregate = (num_fine + num_coarse) * coarse * embed * area**2
        return aggregate <= correlate

    def forward(self, fine: Tensor, coarse: Tensor, embedding: Tensor) -> Tensor:
        self.check(fine, coarse, embedding)
        query, key, value = (to_patches(x, self.patch_size) for x in (self.project(fine), coarse, embedding))
        num_fine, num_coarse = query.shape[2], key.shape[2]
        # the two scales go onto the smaller operands, before any product
        key = key / self.patch_size**2
        value = value / num_coarse
        order = self.aggregate_first if self.aggregates_first(num_fine, num_coarse) else self.correlate_first
        return from_patches(order(query, key, value), self.patch_size, *fine.shape[2:])


class CLADecoderBlock(nn.Module):
    """A decoder block (Sec. III-B): embeddings of a pair, concatenated and mixed by a 1x1 convolution, plus CLA.

    Args:
        fine_channels, coarse_channels, embed_channels, patch_size: as in :class:`CrossLayerAttention`.
        has_previous: whether the output of the block before is concatenated too.

    Shape:
        fine (B, C_i, H_i, W_i), coarse (B, C_j, H_j, W_j), embedding of the coarse map (B, E, H_j, W_j), and two or
        three maps (B, E, H_i, W_i): the previous block's, the fine map's embedding, the coarse one's upsampled
        -> (B, E, H_i, W_i).
    """

    def __init__(self, fine_channels: int, coarse_channels: int, embed_channels: int, has_previous: bool,
                 patch_size: int = 1):
        super().__init__()
        self.conv = nn.Conv2d((2 + has_previous) * embed_channels, embed_channels, 1)
        self.cla = CrossLayerAttention(fine_channels, coarse_channels, embed_channels, patch_size)

    def zero_output(self) -> None:
        """Make the output nothing, with gradients that can leave that point."""
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)
        self.cla.zero_output()

    def forward(self, fine: Tensor, coarse: Tensor, embedding: Tensor, embedded: Sequence[Tensor]) -> Tensor:
        return self.conv(torch.cat(list(embedded), dim=1)) + self.cla(fine, coarse, embedding)
