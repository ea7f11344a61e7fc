"""SCSA: spatial and channel synergistic attention.

Paper: Si et al., "SCSA: Exploring the Synergistic Effects Between Spatial and Channel Attention".

A spatial part, SMSA, gates each row and each column of a map by what 1-D convolutions of several lengths see in it;
a channel part, PCSA, gates each channel by self-attention between the channels of the map so gated.

Beside the paper's text:
* one gated map is made, and all three gates are multiplied into it in place (``gated_maps.py``); on a GPU with Triton
  kernels, and in inference on a CPU with Numba compiled loops, go over the map as often as they must (``fused_scsa``);
* the four convolutions are one, and so are both axes, as one sequence; the depthwise 1x1 convolutions of Eq. 10 are
  products with a scale a channel;
* the ablations of Table 1 are arguments; where it does not say how one is done, the argument's text does;
* ``zero_init`` (not in the paper) doubles the gates and starts each of them at exactly 1.
"""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.scsa import fused_scsa
from ..ops.scsa.gated_maps import axis_means, gate_and_pool, gate_channels
from ..utils.validation import check_flags, check_map, check_option, check_whole
from .group_norm import GroupNorm
from .safe_norm import normalize

__all__ = ['SCSA']

NORMS = ('GN', 'BN', 'LN', None)
SCALES = ('channels', 'pixels')


class SCSA(nn.Module):
    """Spatial and channel synergistic attention (Eq. 13): gates a map, and keeps its shape.

    Parameters carry the names of the authors' release, so that their checkpoints load. With the default arguments
    there are 16 parameters a channel.

    Args:
        channels: channels C of the map, divisible by the number of kernels.
        kernel_sizes: length of the 1-D convolution of each channel group, odd numbers.
        window_size: side of the average-pooling window before the channel attention, in pixels. It shrinks to the
            map where the map is smaller. None is the whole map at once (without progressive compression).
        zero_init: start as the identity. Gates are then 2 * sigmoid, and the last affine before each is zero.
        spatial: with the spatial part, SMSA.
        channel: with the channel part, PCSA.
        channel_first: PCSA before SMSA.
        shared: one set of convolutions for both axes; otherwise one each.
        norm: of the rows' and the columns' sequences: 'GN', of each channel group (Eq. 5 and 6); 'BN'; 'LN', of the
            channels of each place; None.
        norm_first: normalise before the convolutions, not between them and the gates.
        num_heads: heads of the channel attention, a divisor of C. Channels are dealt out to them in turn, as a channel
            shuffle does, so that each head has channels of all groups.
        scale: the channel attention divides by the square root of the number of 'channels' of a head (Eq. 11), or of
            'pixels' of the pooled map, the length of the products.
        inplace: inference may write over the map that it is given, which is then for nobody else, as with nn.ReLU. It
            does so on a CPU, where fresh memory is dear.

    Shape:
        (B, C, H, W) -> (B, C, H, W), for any H, W >= 1.

    Raises:
        ValueError: channels that the kernels or the heads do not divide, kernel sizes that are not odd numbers, a
            window smaller than 1, an unknown option, or options that contradict each other; at the first forward
            another shape.
        TypeError: text where a number or a flag belongs; a map of whole numbers, or of another type than the
            parameters.
    """

    def __init__(self,
                 channels: int,
                 kernel_sizes: Sequence[int] = (3, 5, 7, 9),
                 window_size: int | None = 7,
                 zero_init: bool = False,
                 *,
                 spatial: bool = True,
                 channel: bool = True,
                 channel_first: bool = False,
                 shared: bool = True,
                 norm: str | None = 'GN',
                 norm_first: bool = False,
                 num_heads: int = 1,
                 scale: str = 'channels',
                 inplace: bool = False):
        super().__init__()
        check_kernel_sizes(kernel_sizes)
        groups = len(kernel_sizes)
        check_whole('SCSA', channels=channels, num_heads=num_heads)
        check_flags('SCSA', zero_init=zero_init, spatial=spatial, channel=channel, channel_first=channel_first,
                    shared=shared, norm_first=norm_first, inplace=inplace)
        check_option('SCSA', NORMS, norm=norm)
        check_option('SCSA', SCALES, scale=scale)
        if channels % groups or channels % num_heads:
            raise ValueError(f'SCSA: channels={channels} is not divisible by the {groups} channel groups of '
                             f'kernel_sizes={tuple(kernel_sizes)}, or by num_heads={num_heads}.')
        if window_size is not None:
            check_whole('SCSA', window_size=window_size)
        if not (spatial or channel) or channel_first and not (spatial and channel):
            raise ValueError(f'SCSA: spatial={spatial}, channel={channel}, channel_first={channel_first}: one part has '
                             'to be there, and both where one is to be first.')
        if norm_first and norm is None:
            raise ValueError('SCSA: norm_first=True needs a norm, not norm=None.')
        self.channels = channels
        self.window_size = window_size
        self.zero_init = zero_init
        self.limit = 2 if zero_init else 1  # of a gate; a logit of 0 then leaves the map alone
        self.spatial, self.channel, self.channel_first = spatial, channel, channel_first
        self.shared = shared
        self.kernel_sizes = tuple(kernel_sizes)
        # none of the ablations, whatever the sizes
        self.as_published = (spatial and channel and not channel_first and shared and norm == 'GN' and not norm_first
                             and num_heads == 1 and scale == 'channels')
        self.norm_before, self.norm_after = norm is not None and norm_first, norm is not None and not norm_first
        self.num_heads = num_heads
        self.scale = scale
        self.inplace = inplace

        if spatial:
            group = channels // groups
            self.conv_names = [*('local_dwc', 'global_dwc_s', 'global_dwc_m', 'global_dwc_l')[:groups],
                               *(f'global_dwc_{i}' for i in range(4, groups))]
            for suffix in ('', ) if shared else ('', '_w'):
                for name, k in zip(self.conv_names, kernel_sizes):
                    conv = nn.Conv1d(group, group, k, padding=k // 2, groups=group)
                    self.add_module(name + suffix, conv)
            if norm is not None:
                self.norm_h, self.norm_w = (sequence_norm(norm, channels, groups) for _ in range(2))
        if channel:
            self.norm = GroupNorm(1, channels)
            self.q, self.k, self.v = (nn.Conv2d(channels, channels, 1, groups=channels, bias=False) for _ in range(3))
        if zero_init:
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew, whatever a host model has made of them."""
        for child in self.children():
            child.reset_parameters()
        if self.zero_init:
            for module in self.last_affines():
                for parameter in module.parameters():
                    nn.init.zeros_(parameter)

    def last_affines(self) -> list[nn.Module]:
        """The modules whose zeros make all logits zero."""
        last = [self.v] if self.channel else []
        if self.norm_after:
            return last + ([self.norm_h, self.norm_w] if self.spatial else [])
        return last + [child for child in self.children() if isinstance(child, nn.Conv1d)]

    def kernel(self, suffix: str = '') -> tuple[Tensor, Tensor]:
        """Weight (C, 1, k) and bias (C,) of one convolution that does those of all groups at once.

        Shorter kernels are padded with zeros to the longest.
        """
        convs = [getattr(self, name + suffix) for name in self.conv_names]
        weights = [conv.weight for conv in convs]
        longest = max(weight.shape[2] for weight in weights)
        margins = [(longest - weight.shape[2]) // 2 for weight in weights]
        weights = [F.pad(weight, (margin, margin)) if margin else weight for weight, margin in zip(weights, margins)]
        return torch.cat(weights), torch.cat([conv.bias for conv in convs])

    def convolve(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """The convolutions of both axes: (B, C, H) and (B, C, W), shapes kept (Eq. 3 and 4)."""
        weight, bias = self.kernel()
        if not self.shared:
            return depthwise(rows, weight, bias), depthwise(columns, *self.kernel('_w'))
        gap = rows.new_zeros(*rows.shape[:2], weight.shape[2] // 2)  # one sequence, with the zeros that pad either
        x = depthwise(torch.cat((rows, gap, columns), dim=2), weight, bias)
        return x[:, :, :rows.shape[2]], x[:, :, -columns.shape[2]:]

    def spatial_logits(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """SMSA: means (B, C, H) of rows and (B, C, W) of columns -> logits of their gates (Eq. 2 to 6)."""
        if self.norm_before:
            rows, columns = normalize(self.norm_h, rows), normalize(self.norm_w, columns)
        rows, columns = self.convolve(rows, columns)
        if self.norm_after:
            rows, columns = normalize(self.norm_h, rows), normalize(self.norm_w, columns)
        return rows, columns

    def channel_logits(self, x: Tensor) -> Tensor:
        """PCSA: pooled map (B, C, h, w) -> logits (B, C). Attention is between channels; pixels are their features."""
        x = self.norm(x).flatten(2).unsqueeze(1)  # (B, 1, C, N)
        weights = torch.stack((self.q.weight, self.k.weight, self.v.weight)).flatten(2)  # (3, C, 1)
        x = (x * weights).unflatten(2, (-1, self.num_heads)).transpose(2, 3)  # (B, 3, heads, C / heads, N), Eq. 10
        q, k, v = x.unbind(1)
        scale = q.shape[2 if self.scale == 'channels' else 3]**-0.5
        x = F.scaled_dot_product_attention(q, k, v, scale=scale).mean(3)  # Eq. 11, and the pooling of Eq. 12
        return x.transpose(1, 2).flatten(1)

    def window(self, x: Tensor) -> tuple[int, int]:
        """Height and width of the pooling window on a map."""
        height, width = (min(self.window_size or side, side) for side in x.shape[2:])
        return height, width

    def smsa(self, x: Tensor) -> Tensor:
        """Eq. 1 to 7 alone, for the ablations."""
        rows, columns = (self.limit * logits.sigmoid() for logits in self.spatial_logits(x.mean(3), x.mean(2)))
        return x * rows.unsqueeze(3).to(x.dtype) * columns.unsqueeze(2).to(x.dtype)

    def pcsa(self, x: Tensor) -> Tensor:
        """Eq. 8 to 12 alone, for the ablations."""
        gates = self.limit * self.channel_logits(F.avg_pool2d(x, self.window(x))).sigmoid()
        return x * gates[:, :, None, None].to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.channels)
        fused = fused_scsa(self, x)
        if fused is not None:
            return fused
        if self.channel_first:
            return self.smsa(self.pcsa(x))
        if not (self.spatial and self.channel):
            return self.smsa(x) if self.spatial else self.pcsa(x)
        row_means, column_means, x = axis_means(x)  # Eq. 1
        rows, columns = (logits.to(x.dtype) for logits in self.spatial_logits(row_means, column_means))
        gated, pooled = gate_and_pool(x, rows, columns, self.window(x), self.limit)  # Eq. 7 and 8
        channels = self.channel_logits(pooled).to(x.dtype)
        return gate_channels(gated, channels, x, rows, columns, self.limit)  # Eq. 13


def check_kernel_sizes(kernel_sizes: Sequence[int]) -> None:
    """Odd whole numbers, one at least."""
    if isinstance(kernel_sizes, str) or not isinstance(kernel_sizes, Sequence):
        raise TypeError(f'SCSA: kernel_sizes={kernel_sizes!r} is no list; give odd lengths, as (3, 5, 7, 9) are.')
    check_whole('SCSA', **{f'kernel_sizes[{i}]': k for i, k in enumerate(kernel_sizes)})
    if not kernel_sizes or any(k % 2 == 0 for k in kernel_sizes):
        raise ValueError(f'SCSA: kernel_sizes={tuple(kernel_sizes)} must be odd lengths, as (3, 5, 7, 9) are.')


def sequence_norm(norm: str, channels: int, groups: int) -> nn.Module:
    """A norm of sequences (B, C, L)."""
    if norm == 'GN':
        return GroupNorm(groups, channels)
    return nn.BatchNorm1d(channels) if norm == 'BN' else ChannelNorm(channels)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each place: (B, C, L) -> (B, C, L)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


def depthwise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve each channel of sequences (B, C, L) with its own odd kernel (C, 1, k), zeros around."""
    # the same with gradients and without, or checkpointing would go on from other numbers than it has recomputed
    x = x.unsqueeze(3)
    if x.device.type == 'cpu':  # whose gradients are twice as fast in this order
        x = x.contiguous(memory_format=torch.channels_last)
    return F.conv2d(x, weight.unsqueeze(3), bias, padding=(weight.shape[2] // 2, 0), groups=x.shape[1]).squeeze(3)
