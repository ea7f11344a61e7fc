"""FINE: cross-level attention that aligns a low-level feature map with the level above it before they are fused.

Paper: Lee, Lee and Kang, "Context-Guided Semantic Alignment for Feature Fusion Networks".

Differences from the paper:
* The parameter table implies a feed-forward network after the attention, with hidden width 2C, two norms and residual
  connections, which the equations omit. ``ffn_ratio=0`` is Eq. 7 as printed.
* Pooling windows may extend past the border, where they average only the pixels inside the map, so every size is
  accepted.
* The depthwise pooling of Table 6 has no bias and is omitted for windows of one pixel. The pooling layers of
  the two modules in an FPN then have 6,144 parameters and 2.46M multiply-adds at 640x640, as published.
* ``attention='linear', ffn_ratio=4, modulation='direct', position_embedding=True`` corresponds to the authors' first
  public code.
* In float16, the product of two maps saturates instead of overflowing.
* ``zero_init`` (not in the paper) scales the modulation map by a learnable vector that starts at zero.
"""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..utils.memory_format import match_memory_format, to_map, to_tokens
from ..utils.precision import saturate
from ..utils.torch_compat import RMSNorm
from ..utils.validation import check_divisible, check_option, check_pair
from .fine_attention import area_attention, linear_attention, window_attention

__all__ = ['FINE']


class FINE(nn.Module):
    """Feature interaction between two adjacent levels of a pyramid.

    Args:
        channels: Channels C of the low map, and of the high map unless ``high_channels`` is given.
        kernel_size: Side k of the pooling window on the high map in pixels (Eq. 4).
        sampling_ratio: Ratio r. The pooling window on the low map has side r * k; use 2 if the strides of the two maps
            differ by a factor of 2.
        num_heads: Attention heads h, a divisor of ``channels``. By default a head has 16 channels (Table 4), and up
            to 16 channels form one head.
        attention: 'softmax' (Eq. 6), or 'window', 'area' or 'linear' from Table 3.
        ffn_ratio: Ratio of the hidden width of the feed-forward network to C; 0 for no network (Eq. 7 as printed), in
            which case the attention has no residual connection either.
        modulation: 'residual', low * M + low (Eq. 9); 'direct', low * M; or 'none', M itself (Fig. 7).
        position_embedding: Add sine embeddings to the tokens before the projections.
        zero_init: Start as the identity; requires ``modulation='residual'``.
        pooling: 'average', 'max', or 'depthwise', a depthwise convolution (Table 6).
        high_channels: Channels C' of the high map. If they differ from C, a 1x1 convolution comes first (Eq. 10).

    Shape:
        - low: (B, C, H, W)
        - high: (B, C', H', W') with H' <= H and W' <= W
        - output: (B, C, H, W)
    """

    def __init__(self,
                 channels: int,
                 kernel_size: int = 1,
                 sampling_ratio: int = 2,
                 num_heads: int | None = None,
                 attention: str = 'softmax',
                 ffn_ratio: float = 2,
                 modulation: str = 'residual',
                 position_embedding: bool = False,
                 zero_init: bool = False,
                 pooling: str = 'average',
                 high_channels: int | None = None):
        super().__init__()
        check_option('FINE', ('softmax', 'window', 'area', 'linear'), attention=attention)
        check_option('FINE', ('average', 'max', 'depthwise'), pooling=pooling)
        check_option('FINE', ('residual', 'direct', 'none'), modulation=modulation)
        if num_heads is None:
            if channels > 16 and channels % 16:
                raise ValueError('FINE: channels must be divisible by 16, the default channels of a head, got '
                                 f'channels={channels}. Set num_heads to a divisor of channels.')
            num_heads = max(1, channels // 16)
        check_divisible('FINE', channels=channels, num_heads=num_heads)
        if position_embedding and channels % 4:
            raise ValueError(f'FINE: position_embedding=True requires channels divisible by 4, got {channels}.')
        if zero_init and modulation != 'residual':
            raise ValueError(f"FINE: zero_init=True requires modulation='residual', got {modulation!r}.")
        self.channels = channels
        self.high_channels = channels if high_channels is None else high_channels
        self.kernel_size = kernel_size
        self.sampling_ratio = sampling_ratio
        self.num_heads = num_heads
        self.attention = attention
        self.modulation = modulation
        self.position_embedding = position_embedding
        self.has_ffn = bool(ffn_ratio)

        self.high_proj = nn.Identity() if self.high_channels == channels else nn.Conv2d(self.high_channels, channels, 1)
        self.low_pool = build_pool(pooling, channels, kernel_size * sampling_ratio)
        self.high_pool = build_pool(pooling, channels, kernel_size)
        self.q_proj = nn.Linear(channels, channels)
        self.k_proj = nn.Linear(channels, channels)
        self.v_proj = nn.Linear(channels, channels)
        self.out_proj = nn.Linear(channels, channels)
        self.attn_norm = RMSNorm(channels // num_heads) if attention == 'linear' else nn.Identity()  # shared by heads
        if self.has_ffn:
            hidden = int(channels * ffn_ratio)
            self.norm1 = nn.LayerNorm(channels)
            self.linear1 = nn.Linear(channels, hidden)
            self.linear2 = nn.Linear(hidden, channels)
            self.norm2 = nn.LayerNorm(channels)
        self.scale = nn.Parameter(torch.zeros(channels)) if zero_init else None

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        check_pair(self, low, high, self.channels, self.high_channels)
        modulation = self.modulation_map(low, high)  # M: (B, C, H, W)
        if self.modulation == 'none':
            return modulation
        if self.modulation == 'residual':
            out = torch.addcmul(low, low, modulation)  # Eq. 9: low * M + low
        else:
            out = low * modulation
        return saturate(out, low.dtype)

    def modulation_map(self, low: Tensor, high: Tensor) -> Tensor:
        """Compute the map M of shape (B, C, H, W) that multiplies the low map (Eq. 4 to 8)."""
        low_size = low.shape[2:]
        low_pooled = self.low_pool(low)  # Eq. 4: (B, C, H/rk, W/rk)
        high_pooled = self.high_pool(self.high_proj(high))  # Eq. 10, Eq. 4: (B, C, H'/k, W'/k)
        if self.attention == 'window':  # one key per query; before the projections, as in the FLOPs of Table 3
            high_pooled = F.interpolate(high_pooled, size=low_pooled.shape[2:])
        tokens = self.cross_attend(low_pooled, high_pooled)
        coarse = match_memory_format(to_map(tokens, low_pooled.shape[2:]), low)
        return F.interpolate(coarse, size=low_size, mode='bilinear', align_corners=False)  # Eq. 8

    def cross_attend(self, low: Tensor, high: Tensor) -> Tensor:
        """Attend from the pooled low map to the pooled high map (Eq. 5 to 7).

        Args:
            low: Pooled low map of shape (B, C, h, w).
            high: Pooled high map of shape (B, C, h', w').

        Returns:
            The coarse modulation map as tokens of shape (B, h*w, C).
        """
        low_size, high_size = low.shape[2:], high.shape[2:]
        low, high = to_tokens(low), to_tokens(high)  # (B, N, C)
        queries, keys = low, high
        if self.position_embedding:
            queries = queries + sine_position_embedding(*low_size, self.channels, like=low)
            keys = keys + sine_position_embedding(*high_size, self.channels, like=high)

        q, k, v = self.q_proj(queries), self.k_proj(keys), self.v_proj(keys)  # Eq. 5
        q, k, v = (x.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for x in (q, k, v))  # (B, heads, N, d)
        if self.attention == 'softmax':
            x = F.scaled_dot_product_attention(q, k, v)  # Eq. 6: (B, heads, N_low, d)
        elif self.attention == 'window':
            x = window_attention(q, k, v, low_size)
        elif self.attention == 'area':
            x = area_attention(q, k, v, low_size, high_size)
        else:
            x = self.attn_norm(linear_attention(q, k, v))
        x = self.out_proj(x.transpose(1, 2).flatten(2))  # Eq. 7: (B, N_low, C)

        if self.has_ffn:
            x = low + self.norm1(x)
            x = x + self.norm2(self.linear2(F.gelu(self.linear1(x))))
        return x if self.scale is None else x * self.scale


class DepthwisePool(nn.Conv2d):
    """Learnable pooling (Table 6): a depthwise convolution with stride equal to its kernel size.

    Past the border, windows contain copies of the last row or column.
    """

    def __init__(self, channels: int, size: int):
        super().__init__(channels, channels, size, stride=size, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        size, (height, width) = self.kernel_size[0], x.shape[2:]
        return super().forward(F.pad(x, (0, -width % size, 0, -height % size), mode='replicate'))


def build_pool(pooling: str, channels: int, size: int) -> nn.Module:
    """Build a pooling layer with windows of ``size`` x ``size`` pixels, which may extend past the border."""
    if size == 1:
        return nn.Identity()
    if pooling == 'average':
        return nn.AvgPool2d(size, ceil_mode=True)
    if pooling == 'max':
        return nn.MaxPool2d(size, ceil_mode=True)
    return DepthwisePool(channels, size)


def sine_position_embedding(height: int, width: int, channels: int, like: Tensor) -> Tensor:
    """Compute the sine and cosine of the row, then of the column, at C/4 frequencies 10000^(-i / (C/4)).

    Args:
        height: Rows H.
        width: Columns W.
        channels: Channels C, divisible by 4.
        like: Tensor whose device and dtype are used.

    Returns:
        Tensor of shape (1, H*W, C).
    """
    quarter = channels // 4
    frequencies = 10000.**-(torch.arange(quarter, dtype=torch.float32, device=like.device) / quarter)
    rows, columns = (torch.arange(n, dtype=torch.float32, device=like.device)[:, None] * frequencies
                     for n in (height, width))
    rows = torch.cat((rows.sin(), rows.cos()), 1)[:, None].expand(-1, width, -1)  # (H, W, C/2)
    columns = torch.cat((columns.sin(), columns.cos()), 1)[None].expand(height, -1, -1)
    return torch.cat((rows, columns), 2).reshape(1, height * width, channels).to(like.dtype)
