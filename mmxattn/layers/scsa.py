"""SCSA: spatial and channel synergistic attention.

Paper: Si et al., "SCSA: Exploring the Synergistic Effects Between Spatial and Channel Attention", arXiv:2407.05128.

Differences from the paper:
* ``zero_init`` (not in the paper) doubles the gates, so that each gate starts at exactly 1.
* The ablations of Table 1 are constructor arguments.
"""
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops import scsa as fused
from ..utils.validation import check_divisible, check_map, check_option
from .group_norm import GroupNorm
from .safe_norm import normalize

__all__ = ['SCSA']

NORMS = ('GN', 'BN', 'LN', None)
SCALES = ('channels', 'pixels')
FUSED_TYPES = (nn.Conv1d, nn.Conv2d, GroupNorm)


class SCSA(nn.Module):
    """Spatial and channel synergistic attention.

    A spatial part, SMSA, gates each row and each column of a feature map with 1-D convolutions of several lengths over
    the row and column means. A channel part, PCSA, then gates each channel with self-attention between channels.

    Parameters have the same names as in the authors' release, so its checkpoints can be loaded. With the default
    arguments, there are 16 parameters per channel.

    Args:
        channels: Channels C of the map, divisible by the number of kernels.
        kernel_sizes: Lengths of the 1-D convolutions, one odd number per channel group.
        window_size: Side in pixels of the average-pooling window before the channel attention, clipped to the map;
            pixels beyond the last whole window are not pooled. None pools the whole map (no progressive compression).
        zero_init: Start as the identity: gates are 2 * sigmoid, and the last affine layer before each gate is zero.
        spatial: Use the spatial part, SMSA.
        channel: Use the channel part, PCSA.
        channel_first: Apply PCSA before SMSA.
        shared: Share the convolutions between rows and columns.
        norm: Norm of the row and column sequences: 'GN' of each channel group (Eq. 5 and 6), 'BN', 'LN' over the
            channels of each position, or None. PCSA always has a group norm.
        norm_first: Normalize before the convolutions instead of after them.
        num_heads: Heads of the channel attention. Channels are assigned to heads in turn, as in a channel shuffle, so
            each head contains channels of all groups.
        scale: Scale the attention by the square root of the number of 'channels' of a head (Eq. 11) or of 'pixels' of
            the pooled map.

    Shape:
        (B, C, H, W) -> (B, C, H, W), for any H, W >= 1.

    Raises:
        ValueError: If an argument is invalid, or the input does not have shape (B, channels, H, W).
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
                 scale: str = 'channels'):
        super().__init__()
        if not isinstance(kernel_sizes, Sequence) or not kernel_sizes or any(k < 1 or k % 2 == 0 for k in kernel_sizes):
            raise ValueError(f'SCSA: kernel_sizes must be odd ints such as (3, 5, 7, 9), got {kernel_sizes}.')
        if window_size is not None and window_size < 1:
            raise ValueError(f'SCSA: window_size must be at least 1, or None for the whole map, got {window_size}.')
        if not (spatial or channel) or (channel_first and not (spatial and channel)):
            raise ValueError('SCSA: spatial or channel must be True, and both for channel_first=True, got '
                             f'spatial={spatial}, channel={channel}, channel_first={channel_first}.')
        if norm_first and norm is None:
            raise ValueError("SCSA: norm_first=True requires a norm such as 'GN', got norm=None.")
        check_option('SCSA', NORMS, norm=norm)
        check_option('SCSA', SCALES, scale=scale)
        groups = len(kernel_sizes)
        if channels % groups:
            raise ValueError(f'SCSA: channels must be divisible by the number of kernel_sizes, got '
                             f'channels={channels} and {groups} kernel sizes.')
        check_divisible('SCSA', channels=channels, num_heads=num_heads)
        self.channels = channels
        self.kernel_sizes = tuple(kernel_sizes)
        self.window_size = window_size
        self.zero_init = zero_init
        self.gate_scale = 2.0 if zero_init else 1.0  # A logit of 0 then leaves the map unchanged.
        self.spatial, self.channel, self.channel_first = spatial, channel, channel_first
        self.shared = shared
        self.norm_before, self.norm_after = norm is not None and norm_first, norm is not None and not norm_first
        self.num_heads = num_heads
        self.scale = scale
        # The configuration that mmxattn.ops implements, with any kernel sizes and window.
        self.has_fused_form = (spatial and channel and not channel_first and shared and norm == 'GN'
                               and not norm_first and num_heads == 1 and scale == 'channels')

        if spatial:
            members = channels // groups
            self.conv_names = [*('local_dwc', 'global_dwc_s', 'global_dwc_m', 'global_dwc_l')[:groups],
                               *(f'global_dwc_{i}' for i in range(4, groups))]
            for suffix in ('', ) if shared else ('', '_w'):
                for name, k in zip(self.conv_names, kernel_sizes):
                    self.add_module(name + suffix, nn.Conv1d(members, members, k, padding=k // 2, groups=members))
            if norm is not None:
                layer = dict(GN=partial(GroupNorm, groups), BN=nn.BatchNorm1d, LN=ChannelNorm)[norm]
                self.norm_h, self.norm_w = layer(channels), layer(channels)
        if channel:
            self.norm = GroupNorm(1, channels)
            self.q, self.k, self.v = (nn.Conv2d(channels, channels, 1, groups=channels, bias=False) for _ in range(3))
        if zero_init:
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Re-initialize all parameters."""
        for child in self.children():
            child.reset_parameters()
        if self.zero_init:
            for module in self.last_affines():
                for parameter in module.parameters():
                    nn.init.zeros_(parameter)

    def last_affines(self) -> list[nn.Module]:
        """Return the modules that compute the logits of the gates."""
        last: list[nn.Module] = [self.v] if self.channel else []
        if self.spatial:
            last += [self.norm_h, self.norm_w] if self.norm_after else self.convs('') + self.convs('_w')
        return last

    def convs(self, suffix: str = '') -> list[nn.Module]:
        """Return the 1-D convolutions of the channel groups: for rows, or for columns with ``suffix='_w'``."""
        return [getattr(self, name if self.shared else name + suffix) for name in self.conv_names]

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        check_map(self, x, self.channels)
        if self.can_fuse():
            args = self.fused_args(x)
            if fused.is_supported(x, *args):
                return fused.scsa(x, *args)
        return self.forward_reference(x)

    def forward_reference(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        """Compute the layer from the paper's equations with PyTorch operators.

        Used wherever the fused operator is not supported. Tests and benchmarks compare the fused operator with it.
        """
        if self.channel_first:
            return self.smsa(self.pcsa(x))
        if self.spatial:
            x = self.smsa(x)
        return self.pcsa(x) if self.channel else x  # Eq. 13

    def smsa(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        """Gate rows and columns: shareable multi-semantic spatial attention."""
        h, w = axis_mean(x, 3), axis_mean(x, 2)  # Eq. 1: (B, C, H), (B, C, W)
        if self.norm_before:
            h, w = normalize(self.norm_h, h), normalize(self.norm_w, w)
        groups = len(self.kernel_sizes)
        h = torch.cat([conv(part) for conv, part in zip(self.convs(), h.chunk(groups, 1))], 1)  # Eq. 2 and 3
        w = torch.cat([conv(part) for conv, part in zip(self.convs('_w'), w.chunk(groups, 1))], 1)  # Eq. 2 and 4
        if self.norm_after:
            h, w = normalize(self.norm_h, h), normalize(self.norm_w, w)
        h = (self.gate_scale * h.sigmoid()).to(x.dtype)  # Eq. 5
        w = (self.gate_scale * w.sigmoid()).to(x.dtype)  # Eq. 6
        return x * h.unsqueeze(3) * w.unsqueeze(2)  # Eq. 7

    def pcsa(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        """Gate channels: progressive channel-wise self-attention, with pixels as the features of a channel."""
        pooled = self.norm(F.avg_pool2d(x, self.window(x)))  # Eq. 8: (B, C, H', W')
        q, k, v = (project(pooled).flatten(2) for project in (self.q, self.k, self.v))  # Eq. 9 and 10: (B, C, N)
        q, k, v = (t.unflatten(1, (-1, self.num_heads)).transpose(1, 2) for t in (q, k, v))  # (B, heads, C/heads, N)
        scale = q.shape[2 if self.scale == 'channels' else 3]**-0.5
        attn = (q @ k.transpose(2, 3) * scale).softmax(3) @ v  # Eq. 11: (B, heads, C/heads, N)
        gate = self.gate_scale * attn.mean(3).transpose(1, 2).flatten(1).sigmoid()  # (B, C)
        return x * gate[:, :, None, None].to(x.dtype)  # Eq. 12

    def window(self, x: Tensor) -> tuple[int, int]:
        """Return the height and width of the pooling window, clipped to the map."""
        height, width = (min(self.window_size or side, side) for side in x.shape[2:])
        return height, width

    def can_fuse(self) -> bool:
        """Check that no ablation is active, and that no submodule is replaced, parametrized or pruned.

        Forward hooks of submodules do not run in the fused form.
        """
        return self.has_fused_form and all(
            type(child) in FUSED_TYPES and isinstance(child.weight, nn.Parameter)
            and isinstance(child.bias, (nn.Parameter, type(None))) for child in self.children())

    def fused_args(self, x: Tensor) -> tuple[list[Any], tuple[int, int], float, list[float]]:
        """Return the arguments of :func:`mmxattn.ops.scsa.scsa` after ``x``."""
        convs, norms, projections = self.convs(), (self.norm_h, self.norm_w, self.norm), (self.q, self.k, self.v)
        params = [*(conv.weight for conv in convs), *(conv.bias for conv in convs),
                  *(param for norm in norms for param in (norm.weight, norm.bias)),
                  *(projection.weight for projection in projections)]
        return params, self.window(x), self.gate_scale, [norm.eps for norm in norms]


def axis_mean(x: Tensor, dim: int) -> Tensor:
    """Average over ``dim`` in float32 or higher precision, because sums in float16 overflow."""
    return x.mean(dim, dtype=torch.promote_types(x.dtype, torch.float32)).to(x.dtype)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each position: (B, C, L) -> (B, C, L)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)
