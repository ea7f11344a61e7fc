"""CLA: correlation between two feature levels, which restores the detail of the finer one.

Paper: Chung et al., "Utilizing Cross Layer Attentions for Semantic Segmentation of Small Objects".

For a fine map F_i and a coarse map F_j, phi splits a map into N patches of d x d pixels.
Encoder, for each channel c of F_j:
    CLA_c = phi(Conv1x1(F_i))_c phi(F_j)_c^T                              (N_i x N_j)                    (Eq. 1)
Decoder, for each channel e of the embedding F'_j, with the weight W and bias b of a 1x1 convolution:
    O_e = (sum_c W_ec CLA_c + b_e) phi(F'_j)_e                            (N_i x d^2, a map of F_i's size)  (Eq. 2)

Differences from the paper:
* Eq. 2 and its description disagree on shapes. This implementation follows the interpretation with consistent shapes.
* The correlation is scaled by 1/d^2 and the product by 1/N_j, as in AFMA, which CLA extends: the raw products grow with
  both. ``normalisation=False`` computes Eq. 1 and 2 as printed.
* The paper does not specify whether O_ij is added to a decoder block's output or concatenated with it. Both are
  available as ``combination``.
* There is no softmax, so the product is associative and the correlation does not have to be stored
  (:meth:`CrossLayerAttention.aggregate_first`).
* Maps whose size is not divisible by d are zero-padded on the right and at the bottom.
* Three maps are multiplied, so the product is computed in float32 under autocast and saturates in float16.
"""
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..utils.memory_format import match_memory_format, to_tokens
from ..utils.precision import map_dtype, saturate, without_autocast
from ..utils.tracing import ceil_div
from ..utils.validation import check_map, check_option

__all__ = ['CrossLayerAttention', 'CLADecoderBlock', 'cross_layer_attention_reference']


def to_patches(x: Tensor, size: int) -> Tensor:
    """phi: (B, C, H, W) -> (B, C, d*d, N), zero-padded on the right and at the bottom.

    Like F.pixel_unshuffle, which returns the wrong shape for an empty batch.
    """
    if size == 1:
        return to_tokens(x).transpose(1, 2).unsqueeze(2)
    batch, channels, height, width = x.shape
    rows, columns = ceil_div(height, size), ceil_div(width, size)
    x = F.pad(x, (0, columns * size - width, 0, rows * size - height))
    x = x.reshape(batch, channels, rows, size, columns, size).permute(0, 1, 3, 5, 2, 4)  # (B, C, d, d, H/d, W/d)
    return x.reshape(batch, channels, size * size, rows * columns)


def from_patches(x: Tensor, size: int, height: int, width: int) -> Tensor:
    """The inverse of :func:`to_patches`: (B, C, d*d, N) -> (B, C, H, W)."""
    batch, channels = x.shape[:2]
    rows, columns = ceil_div(height, size), ceil_div(width, size)
    x = x.reshape(batch, channels, size, size, rows, columns).permute(0, 1, 4, 2, 5, 3)  # (B, C, H/d, d, W/d, d)
    return x.reshape(batch, channels, rows * size, columns * size)[:, :, :height, :width]


class CrossLayerAttention(nn.Module):
    """CLA for one pair of levels (Eq. 1 and 2).

    With patches of one pixel, it is a 1x1 convolution of F_i whose weights depend on the coarse map.

    Args:
        fine_channels: Channels C_i of the finer map F_i.
        coarse_channels: Channels C_j of the coarser map F_j.
        embed_channels: Channels E of the embedding F'_j and of the output.
        patch_size: Side d of a patch in pixels, the same for both maps. The paper does not specify it; 1 is the
            cheapest.
        zero_init: Start with an output of zero.
        normalisation: Scale the correlation by 1/d^2 and the product by 1/N_j. If False, both are computed as printed
            in the paper, and the output grows with the number of coarse pixels.

    Shape:
        - fine: (B, C_i, H_i, W_i)
        - coarse: (B, C_j, H_j, W_j) with H_j <= H_i and W_j <= W_i
        - embedding: (B, E, H_j, W_j)
        - output: (B, E, H_i, W_i)
    """

    def __init__(self,
                 fine_channels: int,
                 coarse_channels: int,
                 embed_channels: int,
                 patch_size: int = 1,
                 zero_init: bool = False,
                 normalisation: bool = True):
        super().__init__()
        if patch_size < 1:
            raise ValueError(f'CrossLayerAttention: patch_size must be at least 1, got {patch_size}.')
        self.patch_size = patch_size
        self.normalisation = normalisation
        self.project = nn.Conv2d(fine_channels, coarse_channels, 1)  # Eq. 1
        self.mix = nn.Conv2d(coarse_channels, embed_channels, 1)  # Eq. 2, over the channels of the correlation
        if zero_init:
            self.zero_output()

    def zero_output(self) -> None:
        """Zero the last layer, so that the output starts at zero and can still be trained."""
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)

    def forward(self, fine: Tensor, coarse: Tensor, embedding: Tensor) -> Tensor:
        self.check_inputs(fine, coarse, embedding)
        out_dtype = map_dtype(fine)
        with without_autocast(fine):
            fine, coarse, embedding = (x.to(self.mix.weight.dtype) for x in (fine, coarse, embedding))
            if self.aggregation_is_cheaper(fine.shape[2:], coarse.shape[2:]):
                out = self.aggregate_first(fine, coarse, embedding)
            else:
                out = cross_layer_attention_reference(self, fine, coarse, embedding)
        return saturate(match_memory_format(out, fine), out_dtype)

    def keys_and_values(self, coarse: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Return phi(F_j) and phi(F'_j), scaled for both products: (B, C_j, d*d, N_j) and (B, E, d*d, N_j)."""
        key, value = to_patches(coarse, self.patch_size), to_patches(embedding, self.patch_size)
        if not self.normalisation:
            return key, value
        return key / self.patch_size**2, value / value.shape[3]

    def aggregate_first(self, fine: Tensor, coarse: Tensor, embedding: Tensor) -> Tensor:
        """Compute Eq. 1 and 2 with the sum over coarse patches first, so that memory grows with N_i, not N_i N_j.

        Let A = phi(Conv1x1(F_i)), K = phi(F_j) and V = phi(F'_j), n a fine patch, m a coarse patch, and p and q pixels
        of a patch. Insert Eq. 1 into Eq. 2 and sum over m first:
            O_e[n, q] = sum_m (sum_c W_ec sum_p A_c[n, p] K_c[m, p] + b_e) V_e[m, q]
                      = sum_cp A_c[n, p] W_ec G_ec[q, p] + b_e sum_m V_e[m, q],
            G_ec[q, p] = sum_m V_e[m, q] K_c[m, p].
        The 1x1 convolution is linear too, A_c = sum_f P_cf F_f with a last channel f of ones for its bias:
            O_e[n, q] = sum_fp F_f[n, p] (sum_c W_ec G_ec[q, p] P_cf) + b_e sum_m V_e[m, q].
        This is a d x d convolution of F_i with stride d, whose weights depend on the coarse map, and a pixel shuffle.
        """
        size = self.patch_size
        key, value = self.keys_and_values(coarse, embedding)
        mix = self.mix.weight[:, :, 0, 0]  # W: (E, C_j)
        bias = torch.unsqueeze(self.project.bias, 1)
        project = torch.cat((self.project.weight[:, :, 0, 0], bias), dim=1)  # P: (C_j, C_i+1)

        weight = torch.einsum('beqm,bcpm->beqcp', value, key)  # G: (B, E, d*d, C_j, d*d)
        weight = weight * mix[:, None, :, None]
        weight = torch.einsum('beqcp,cf->beqfp', weight, project)  # (B, E, d*d, C_i+1, d*d)
        constant = torch.einsum('e,beqm->beq', self.mix.bias, value)

        patches = to_patches(F.pad(fine, (0, 0, 0, 0, 0, 1), value=1.), size)  # (B, C_i+1, d*d, N_i)
        out = torch.baddbmm(constant.flatten(1).unsqueeze(2), weight.flatten(3).flatten(1, 2), patches.flatten(1, 2))
        return from_patches(out.unflatten(1, (-1, size**2)), size, *fine.shape[2:])

    def aggregation_is_cheaper(self, fine_size: Sequence[int], coarse_size: Sequence[int]) -> bool:
        """Check whether :meth:`aggregate_first` takes fewer multiply-adds than the paper's order of operations."""
        if self.patch_size == 1:
            return True  # for any size, so that an exported program does not depend on it
        num_fine, num_coarse = (ceil_div(height, self.patch_size) * ceil_div(width, self.patch_size)
                                for height, width in (fine_size, coarse_size))
        embed, channels = self.mix.weight.shape[:2]
        in_channels, area = self.project.in_channels, self.patch_size**2
        aggregate = embed * area**2 * (num_coarse * channels + (channels + num_fine) * (in_channels + 1))
        correlate = num_fine * (area * in_channels * channels +
                                num_coarse * (area * channels + channels * embed + area * embed))
        return aggregate <= correlate

    def check_inputs(self, fine: Tensor, coarse: Tensor, embedding: Tensor) -> None:
        check_map(self, fine, self.project.in_channels, 'fine')
        check_map(self, coarse, self.mix.in_channels, 'coarse')
        check_map(self, embedding, self.mix.out_channels, 'embedding')
        if coarse.shape[2:] != embedding.shape[2:]:
            raise ValueError('CrossLayerAttention: the coarse map and its embedding must have the same size, got '
                             f'{tuple(coarse.shape[2:])} and {tuple(embedding.shape[2:])}.')
        if fine.shape[2] < coarse.shape[2] or fine.shape[3] < coarse.shape[3]:
            raise ValueError('CrossLayerAttention: the fine map must not be smaller than the coarse map, got '
                             f'{tuple(fine.shape[2:])} and {tuple(coarse.shape[2:])}; pass the finer level first.')


def cross_layer_attention_reference(layer: CrossLayerAttention, fine: Tensor, coarse: Tensor,
                                    embedding: Tensor) -> Tensor:
    """Compute Eq. 1 and 2 in the paper's order, with the correlation of every channel in memory.

    Args:
        layer: Layer whose parameters and options are used.
        fine: Map F_i of shape (B, C_i, H_i, W_i).
        coarse: Map F_j of shape (B, C_j, H_j, W_j).
        embedding: Map F'_j of shape (B, E, H_j, W_j).

    Returns:
        Map of shape (B, E, H_i, W_i).
    """
    query = to_patches(layer.project(fine), layer.patch_size)
    key, value = layer.keys_and_values(coarse, embedding)
    correlation = query.transpose(2, 3) @ key  # Eq. 1: (B, C_j, N_i, N_j)
    out = value @ layer.mix(correlation).transpose(2, 3)  # Eq. 2: (B, E, d*d, N_i)
    return from_patches(out, layer.patch_size, *fine.shape[2:])


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize a map to ``size=(H, W)`` with bilinear interpolation."""
    return F.interpolate(x, size=size, mode='bilinear', align_corners=False)


class ResizeConcatConv(nn.Conv2d):
    """1x1 convolution of several maps, resized to one size and concatenated.

    A 1x1 convolution and an interpolation commute, so each map is convolved at its own, smaller size and the results
    are resized and added.

    Args:
        channels: Channels E of each map and of the output.
        num_maps: Number of maps.
        resize: Function that interpolates a map to a size (H, W), with weights that sum to 1.

    Shape:
        - maps: ``num_maps`` maps (B, E, h, w), which may differ in size
        - output: (B, E, H, W) for ``size=(H, W)``
    """

    def __init__(self, channels: int, num_maps: int, resize: Callable[[Tensor, Sequence[int]], Tensor]):
        super().__init__(num_maps * channels, channels, 1)
        self.resize = resize

    def forward(self, maps: Sequence[Tensor], size: Sequence[int]) -> Tensor:  # type: ignore[override]
        outs = []
        for i, (x, weight) in enumerate(zip(maps, self.weight.chunk(len(maps), dim=1))):
            x = F.conv2d(x, weight, self.bias if i == 0 else None)
            outs.append(x if x.shape[2:] == size else self.resize(x, size))
        return sum(outs[1:], start=outs[0])


class CLADecoderBlock(nn.Module):
    """Decoder block (Sec. III-B): a 1x1 convolution of the concatenated embeddings of a pair of levels, and CLA.

    Args:
        fine_channels: Channels C_i of the finer map.
        coarse_channels: Channels C_j of the coarser map.
        embed_channels: Channels E of the embeddings and of the output.
        has_previous: Whether the output of the previous block is also concatenated.
        patch_size: See :class:`CrossLayerAttention`.
        normalisation: See :class:`CrossLayerAttention`.
        combination: How to combine CLA's output O_ij with that of the convolution: 'add', or 'cat' followed by another
            1x1 convolution.
        resize: Function that interpolates a map to a size (H, W).

    Shape:
        - fine, coarse: (B, C_i, H_i, W_i), (B, C_j, H_j, W_j)
        - fine_embedding, coarse_embedding: (B, E, H_i, W_i), (B, E, H_j, W_j)
        - previous: (B, E, h, w)
        - output: (B, E, H_i, W_i)
    """

    def __init__(self,
                 fine_channels: int,
                 coarse_channels: int,
                 embed_channels: int,
                 has_previous: bool,
                 patch_size: int = 1,
                 normalisation: bool = True,
                 combination: str = 'add',
                 resize: Callable[[Tensor, Sequence[int]], Tensor] = resize):
        super().__init__()
        check_option('CLADecoderBlock', ('add', 'cat'), combination=combination)
        self.conv = ResizeConcatConv(embed_channels, 2 + has_previous, resize)
        self.cla = CrossLayerAttention(fine_channels, coarse_channels, embed_channels, patch_size,
                                       normalisation=normalisation)
        self.combine = ResizeConcatConv(embed_channels, 2, resize) if combination == 'cat' else None

    def zero_output(self) -> None:
        """Zero the last layers, so that the output starts at zero and can still be trained."""
        if self.combine is not None:
            nn.init.zeros_(self.combine.weight)
            nn.init.zeros_(self.combine.bias)
            return
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)
        self.cla.zero_output()

    def forward(self,
                fine: Tensor,
                coarse: Tensor,
                fine_embedding: Tensor,
                coarse_embedding: Tensor,
                previous: Tensor | None = None) -> Tensor:
        embeddings = [fine_embedding, coarse_embedding]
        if previous is not None:
            embeddings.insert(0, previous)
        x = self.conv(embeddings, fine_embedding.shape[2:])
        detail = self.cla(fine, coarse, coarse_embedding)  # O_ij
        return x + detail if self.combine is None else self.combine((x, detail), x.shape[2:])
