"""CLA: correlation between two feature levels, used to bring the detail of the finer one back.

Paper: Chung et al., "Utilizing Cross Layer Attentions for Semantic Segmentation of Small Objects".

For a fine map F_i and a coarse map F_j, phi cuts patches of d x d pixels. Encoder (Eq. 1), per channel c:
    CLA_c = phi(Conv1x1(F_i))_c phi(F_j)_c^T                                  (N_i x N_j)
Decoder (Eq. 2), per channel e of the embedding F'_j:
    O_e = (sum_c W_ec CLA_c + b_e) phi(F'_j)_e                                (N_i x d^2, folded back to F_i's size)

Beside the paper's text:
* Eq. 2 and the prose around it disagree on shapes; this is the reading whose shapes close;
* as in AFMA, from which CLA descends, the correlation is scaled by 1/d^2 and the product by 1/N_j: raw products grow
  with both, and ``normalisation=False`` takes them as printed;
* the text adds O_ij to a decoder block's output or concatenates it, it does not say which: ``combination``;
* there is no softmax, so the product is associative. With G_ec = phi(F_j)_c^T phi(F'_j)_e (d^2 x d^2),
      O_e = sum_c phi(A)_c W_ec G_ec + b_e sum over j of phi(F'_j)_e,
  a 1x1 convolution of the map, its patches taken for channels, whose weights come from the data. Nothing of size
  N_i x N_j is made. And since A = Conv1x1(F_i) is linear too, its weights go into these where F_i has fewer channels
  than A. For patches larger than a pixel the cheaper of the two orders is taken, by counting;
* three maps are multiplied: under autocast this is done in single precision, and in float16 the output saturates;
* maps that d does not divide are padded with zeros on the right and at the bottom.
"""
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.resampling import resample
from ..utils.memory_format import in_format_of, to_tokens
from ..utils.precision import map_dtype, saturate, without_autocast
from ..utils.tracing import ceil_div, is_traced
from ..utils.validation import check_flags, check_map, check_option, check_whole

__all__ = ['CrossLayerAttention', 'CLADecoderBlock']

if TYPE_CHECKING:

    class BiasedConv2d(nn.Conv2d):
        bias: nn.Parameter


COMBINATIONS = ('add', 'cat')

STRIP = 2**19  # elements of the correlations at a time: 2 MB, and as much again for each thing made of them


def pad_to_patches(x: Tensor, size: int) -> Tensor:
    """Zeros on the right and at the bottom, until patches of a size cover the map."""
    if size == 1:
        return x
    height, width = x.shape[2:]
    return F.pad(x, (0, -width % size, 0, -height % size))


def to_patches(x: Tensor, size: int) -> Tensor:
    """phi: (B, C, H, W) -> (B, C, N, d*d), patches row by row, zero-padded on the right and at the bottom."""
    if size == 1:
        return to_tokens(x).transpose(1, 2).unsqueeze(3)
    x = pad_to_patches(x, size).unflatten(3, (-1, size)).unflatten(2, (-1, size))  # (B, C, H/d, d, W/d, d)
    return x.transpose(3, 4).flatten(4, 5).flatten(2, 3)


def from_patches(x: Tensor, size: int, height: int, width: int) -> Tensor:
    """The inverse of :func:`to_patches`: (B, C, N, d*d) -> (B, C, H, W)."""
    columns = ceil_div(width, size)
    x = x.unflatten(3, (size, size)).unflatten(2, (-1, columns)).transpose(3, 4)  # (B, C, H/d, d, W/d, d)
    return x.flatten(4, 5).flatten(2, 3)[:, :, :height, :width]


def pixel_unshuffle(x: Tensor, size: int) -> Tensor:
    """(B, C, H, W) -> (B, C*d*d, H/d, W/d)."""
    if x.shape[0] == 0:  # which PyTorch gives back with C channels
        batch, channels, height, width = x.shape
        return x.reshape(batch, channels * size**2, height // size, width // size)
    return x if size == 1 else F.pixel_unshuffle(x, size)


def pixel_shuffle(x: Tensor, size: int) -> Tensor:
    """The inverse of :func:`pixel_unshuffle`."""
    if x.shape[0] == 0:
        batch, channels, height, width = x.shape
        return x.reshape(batch, channels // size**2, height * size, width * size)
    return x if size == 1 else F.pixel_shuffle(x, size)


class CrossLayerAttention(nn.Module):
    """CLA encoder and decoder for one pair of levels.

    Args:
        fine_channels: channels C_i of the finer map F_i.
        coarse_channels: channels C_j of the coarser map F_j.
        embed_channels: channels E of the embedding F'_j, and of the output.
        patch_size: side d of a patch, in pixels of either map. The paper gives none; 1 is exact and cheapest.
        zero_init: start with an output of zero.
        normalisation: scale the correlation by 1/d^2 and the product by 1/N_j; without it both are as printed, and what
            comes out grows with the coarse map's pixels.

    Shape:
        fine (B, C_i, H_i, W_i), coarse (B, C_j, H_j, W_j), embedding (B, E, H_j, W_j) -> (B, E, H_i, W_i), where
        H_i >= H_j and W_i >= W_j.

    Raises:
        ValueError: a patch smaller than 1 at construction; at the first forward a fine map smaller than the coarse
            one, or maps that do not belong together.
        TypeError: text where a number or a flag belongs; maps of whole numbers, or of another type than the parameters.
    """

    def __init__(self,
                 fine_channels: int,
                 coarse_channels: int,
                 embed_channels: int,
                 patch_size: int = 1,
                 zero_init: bool = False,
                 normalisation: bool = True):
        super().__init__()
        check_whole('CrossLayerAttention', fine_channels=fine_channels, coarse_channels=coarse_channels,
                    embed_channels=embed_channels, patch_size=patch_size)
        check_flags('CrossLayerAttention', zero_init=zero_init, normalisation=normalisation)
        self.patch_size = patch_size
        self.normalisation = normalisation
        self.project = cast('BiasedConv2d', nn.Conv2d(fine_channels, coarse_channels, 1))  # Eq. 1
        self.mix = cast('BiasedConv2d', nn.Conv2d(coarse_channels, embed_channels, 1))  # Eq. 2, on the correlations
        if zero_init:
            self.zero_output()

    def zero_output(self) -> None:
        """Make the output nothing, with a gradient that can leave that point."""
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)

    def check(self, fine: Tensor, coarse: Tensor, embedding: Tensor) -> None:
        """Raise one error where the three maps cannot be a pair of levels of this layer."""
        for name, x in (('fine map', fine), ('coarse map', coarse), ('embedding', embedding)):
            check_map(self, x, name=name)
        batches = (fine.shape[0], coarse.shape[0], embedding.shape[0])
        if batches[0] != batches[1] or batches[1] != batches[2]:
            raise ValueError(f'CrossLayerAttention: fine, coarse and embedding have batches of {batches}; give maps of '
                             'the same images.')
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

    @property
    def folds_projection(self) -> bool:
        """Whether :meth:`aggregate_first` multiplies the projection into its weights: F_i and a one are narrower."""
        return self.project.in_channels + 1 < self.project.out_channels

    def projection(self) -> Tensor:
        """The convolution of Eq. 1 as (C_j, C_i + 1), for a map with a channel of ones: its last column is the bias."""
        return torch.cat((self.project.weight[:, :, 0, 0], self.project.bias.unsqueeze(1)), dim=1)

    def correlate_first(self, fine: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """The paper's order: correlations (N_i x N_j), mixed over channels, times the values.

        ``fine`` has the channel of ones, so that A is zero where patches are padded with zeros.
        """
        patches = to_patches(fine, self.patch_size)
        query = torch.matmul(self.projection(), patches.flatten(2)).unflatten(2, (-1, self.patch_size**2))
        correlation = query @ key.transpose(2, 3)  # Eq. 1: (B, C_j, N_i, N_j)
        return from_patches(self.mix(correlation) @ value, self.patch_size, *fine.shape[2:])  # Eq. 2

    def correlate_first_in_strips(self, fine: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """As :meth:`correlate_first`: on a CPU as many rows of patches at a time as its caches hold."""
        if fine.device.type != 'cpu' or is_traced():
            return self.correlate_first(fine, key, value)
        columns = ceil_div(fine.shape[3], self.patch_size)
        in_a_row = max(1, fine.shape[0]) * columns * max(key.shape[2], self.patch_size**2)
        rows = max(1, STRIP // (in_a_row * max(self.mix.weight.shape[:2])))
        strips = fine.split(rows * self.patch_size, dim=2)
        return torch.cat([self.correlate_first(strip, key, value) for strip in strips], dim=2)

    def aggregate_first(self, fine: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """The same product from the other end: keys and values are summed over the coarse map first."""
        weights = torch.einsum('bcnp,benq->beqcp', key, value)  # G: (B, E, d*d, C_j, d*d)
        weights = weights * self.mix.weight.view(*self.mix.weight.shape[:2], 1).unsqueeze(1)
        constant = self.mix.bias.view(-1, 1) * value.sum(2)  # (B, E, d*d)
        in_weights = self.folds_projection and not is_traced()  # exporters make scatters of an assignment to a slice
        if self.folds_projection:
            weights = torch.einsum('beqcp,cf->beqfp', weights, self.projection())
        if in_weights:  # added once a patch: its first pixel, which is never padding, has a one
            weights[..., -1, 0] += constant
        if not self.folds_projection:
            fine = torch.einsum('cf,bfhw->bchw', self.projection(), fine)
        height, width = fine.shape[2:]
        fine = pixel_unshuffle(pad_to_patches(fine, self.patch_size), self.patch_size)
        x = torch.bmm(weights.flatten(3).flatten(1, 2), fine.flatten(2))
        if not in_weights:
            x = x + constant.flatten(1).unsqueeze(2)
        return pixel_shuffle(x.unflatten(2, fine.shape[2:]), self.patch_size)[:, :, :height, :width]

    def aggregates_first(self, num_fine: int, num_coarse: int) -> bool:
        """Whether :meth:`aggregate_first` takes fewer multiply-adds, for N_i and N_j patches."""
        if self.patch_size == 1:
            return True  # whatever the sizes, so that no export depends on them; for one coarse pixel they are even
        embed, coarse = self.mix.weight.shape[:2]
        area, fine = self.patch_size**2, self.project.in_channels + 1
        project = num_fine * area * fine * coarse
        correlate = project + num_fine * num_coarse * (coarse * area + coarse * embed + embed * area)
        apply = (num_fine + coarse) * fine if self.folds_projection else num_fine * coarse
        aggregate = (num_coarse * coarse + apply) * embed * area**2 + (0 if self.folds_projection else project)
        return aggregate <= correlate

    def forward(self, fine: Tensor, coarse: Tensor, embedding: Tensor) -> Tensor:
        self.check(fine, coarse, embedding)
        with without_autocast(fine):
            out = self.product(*(x.to(self.mix.weight.dtype) for x in (fine, coarse, embedding)))
        return saturate(in_format_of(out, like=fine), map_dtype(fine))

    def product(self, fine: Tensor, coarse: Tensor, embedding: Tensor) -> Tensor:
        """Eq. 1 and 2, in the cheaper order."""
        size = self.patch_size
        key, value = to_patches(coarse, size), to_patches(embedding, size)
        num_fine, num_coarse = ceil_div(fine.shape[2], size) * ceil_div(fine.shape[3], size), key.shape[2]
        if self.normalisation:  # the two scales go onto the smaller operands, before any product
            key = key / size**2
            value = value / num_coarse
        fine = torch.cat((fine, fine.new_ones(fine.shape[0], 1, *fine.shape[2:])), dim=1)
        aggregates = self.aggregates_first(num_fine, num_coarse)
        return (self.aggregate_first if aggregates else self.correlate_first_in_strips)(fine, key, value)


class EmbeddingMix(nn.Conv2d):
    """A 1x1 convolution of several maps, resampled to one size and concatenated.

    It may change places with the resampling, so each map is mixed where it is small, and what comes out is added up.

    Args:
        channels: channels E of each map, and of the output.
        number: maps.
        resize: resamples a map (B, E, h, w) to a size (H, W), linearly and with weights that sum to 1, as any
            interpolation does.

    Shape:
        maps of (B, E, h, w), each of its own size, and a size (H, W) -> (B, E, H, W).
    """

    def __init__(self, channels: int, number: int, resize: Callable[[Tensor, Sequence[int]], Tensor]):
        super().__init__(number * channels, channels, 1)
        self.resize = resize

    def forward(self, maps: Sequence[Tensor], size: Sequence[int]) -> Tensor:  # type: ignore[override]
        weights = self.weight.chunk(len(maps), dim=1)
        mixed = [F.conv2d(x, weight) for x, weight in zip(maps[:-1], weights)]
        mixed.append(F.conv2d(maps[-1], weights[-1], self.bias))
        first, *others = (x if x.shape[2:] == size else self.resize(x, size) for x in mixed)
        return sum(others, start=first)


class CLADecoderBlock(nn.Module):
    """A decoder block (Sec. III-B): embeddings of a pair, concatenated and mixed by a 1x1 convolution, and CLA.

    Args:
        fine_channels, coarse_channels, embed_channels, patch_size, normalisation: as in :class:`CrossLayerAttention`.
        has_previous: whether the output of the block before is concatenated too.
        combination: how CLA's output O_ij joins what the convolution gives: 'add', or 'cat', with another 1x1
            convolution over both.
        resize: as in :class:`EmbeddingMix`.

    Shape:
        fine (B, C_i, H_i, W_i), coarse (B, C_j, H_j, W_j), their embeddings (B, E, H_i, W_i) and (B, E, H_j, W_j), and
        where there is one the previous block's output (B, E, h, w) -> (B, E, H_i, W_i).

    Raises:
        ValueError: an unknown ``combination``, and what :class:`CrossLayerAttention` raises.
    """

    def __init__(self, fine_channels: int, coarse_channels: int, embed_channels: int, has_previous: bool,
                 patch_size: int = 1, normalisation: bool = True, combination: str = 'add',
                 resize: Callable[[Tensor, Sequence[int]], Tensor] = resample):
        super().__init__()
        check_option('CLADecoderBlock', COMBINATIONS, combination=combination)
        self.conv = EmbeddingMix(embed_channels, 2 + has_previous, resize)
        self.cla = CrossLayerAttention(fine_channels, coarse_channels, embed_channels, patch_size,
                                       normalisation=normalisation)
        self.combine = EmbeddingMix(embed_channels, 2, resize) if combination == 'cat' else None

    def zero_output(self) -> None:
        """Make the output nothing, with gradients that can leave that point."""
        if self.combine is not None:
            nn.init.zeros_(self.combine.weight)
            nn.init.zeros_(self.combine.bias)
            return
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)
        self.cla.zero_output()

    def forward(self, fine: Tensor, coarse: Tensor, fine_embedding: Tensor, coarse_embedding: Tensor,
                previous: Tensor | None = None) -> Tensor:
        embeddings = [fine_embedding, coarse_embedding] if previous is None else [
            previous, fine_embedding, coarse_embedding]
        x = self.conv(embeddings, fine_embedding.shape[2:])
        detail = self.cla(fine, coarse, coarse_embedding)  # O_ij
        return x + detail if self.combine is None else self.combine((x, detail), x.shape[2:])
