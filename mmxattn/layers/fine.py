"""FINE: cross-level attention that aligns a low feature map with the one above it before they are fused.

Paper: Lee, Lee and Kang, "Context-Guided Semantic Alignment for Feature Fusion Networks".

Both maps are pooled to coarse tokens, so that a token of either covers the same region of the image; the low tokens
attend to the high ones; what they gather modulates the low map.

Beside the paper's text:
* its parameter table needs a feed-forward network after the attention, with hidden width 2C, and the two residual,
  normalised steps around it; ``ffn_ratio=0`` is the literal Eq. 7, where the projection's output is the map;
* pooling windows may hang over the border (the mean is then over what is inside), so that every size passes;
* the depthwise pooling of Table 6 has no bias, and none where the window is one pixel: an FPN's two then have 6,144
  parameters and 2.46M multiply-adds at 640x640, as published (the table's caption has no image size);
* the other attentions of Table 3 are in ``fine_attention.py``; its first row, vanilla, is ``sampling_ratio=1``;
* the authors' first public code is reached by ``attention='linear', ffn_ratio=4, modulation='direct',
  position_embedding=True``;
* the modulation map is about as large as the low map, so their product goes with its square: in float16 it saturates;
* ``zero_init`` (not in the paper) scales the modulation map by a learnable vector that starts at zero.
"""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.resampling import AveragePool, resample
from ..ops.token_linear import TokenLinear
from ..utils.memory_format import in_format_of, to_map, to_tokens
from ..utils.precision import saturate
from ..utils.torch_compat import RMSNorm
from ..utils.tracing import is_overwritable
from ..utils.validation import check_flags, check_number, check_option, check_pair, check_whole
from .fine_attention import area_attention, linear_attention, softmax_attention, window_attention

__all__ = ['FINE']

ATTENTIONS = dict(softmax=softmax_attention, window=window_attention, area=area_attention, linear=linear_attention)
POOLINGS = ('average', 'max', 'depthwise')
MODULATIONS = ('residual', 'direct', 'none')


def sine_position_embedding(height: int, width: int, channels: int, like: Tensor) -> Tensor:
    """(1, H*W, C): sine and cosine of the row, then of the column, at C/4 frequencies 10000^(-i/(C/4))."""
    quarter = channels // 4
    exponents = torch.arange(quarter, dtype=torch.float32, device=like.device) / quarter
    frequencies = 10000.**-exponents
    rows, columns = (torch.arange(n, dtype=torch.float32, device=like.device)[:, None] * frequencies
                     for n in (height, width))
    rows = torch.cat((rows.sin(), rows.cos()), 1)[:, None].expand(-1, width, -1)  # (H, W, C/2)
    columns = torch.cat((columns.sin(), columns.cos()), 1)[None].expand(height, -1, -1)
    return torch.cat((rows, columns), 2).reshape(1, height * width, channels).to(like.dtype)


class DepthwisePool(nn.Conv2d):
    """Pooling that is learnt (Table 6): a depthwise convolution whose windows do not overlap.

    Where a window hangs over the border, the map's last row or column is repeated.
    """

    def __init__(self, channels: int, size: int):
        super().__init__(channels, channels, size, stride=size, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        (rows, columns), (height, width) = self.kernel_size, x.shape[2:]
        return super().forward(F.pad(x, (0, -width % columns, 0, -height % rows), mode='replicate'))


def make_pool(pooling: str, channels: int, size: int) -> nn.Module:
    """Pooling with windows of ``size`` x ``size`` pixels, the last of which may hang over the border."""
    if size == 1:
        return nn.Identity()
    if pooling == 'average':
        return AveragePool(size)
    if pooling == 'max':
        return nn.MaxPool2d(size, ceil_mode=True)
    return DepthwisePool(channels, size)


class FINE(nn.Module):
    """Feature interaction between two adjacent levels of a pyramid: the low map, aligned with the high one.

    Args:
        channels: channels C of the low map, and of the high one unless ``high_channels`` says otherwise.
        kernel_size: k, side of the pooling window on the high map, in its pixels (Eq. 4).
        sampling_ratio: r, the low map's window is r * k pixels wide; 2 where the strides differ by 2.
        num_heads: attention heads h, a divisor of ``channels``. By default a head has 16 channels (Table 4).
        attention: 'softmax' (Eq. 6); 'window', 7x7 tokens each within itself; 'area', four stripes each within itself;
            'linear', Q and K divided by their L1 norm over tokens, then Q (K^T V).
        ffn_ratio: hidden width of the feed-forward network over C; 0 for none (Eq. 7 as printed).
        modulation: 'residual', low * M + low (Eq. 9); 'direct', low * M; 'none', M itself.
        position_embedding: add sine embeddings of the pixel grid to the tokens that the projections see.
        zero_init: start as the identity; for ``modulation='residual'``.
        pooling: 'average', 'max', or 'depthwise', a depthwise convolution of that kernel and stride (Table 6).
        high_channels: channels C' of the high map; where they differ from C, a 1x1 convolution comes first (Eq. 10).

    Shape:
        low (B, C, H, W), high (B, C', H', W') with H' <= H, W' <= W -> (B, C, H, W).

    Raises:
        ValueError: at construction for an unknown option or a number that does not divide, at the first forward for
            maps of other channels or a low map smaller than the high one.
        TypeError: text where a number or a flag belongs; maps of whole numbers, or of another type than the parameters.
    """

    def __init__(self,
                 channels: int,
                 kernel_size: int = 1,
                 sampling_ratio: int = 2,
                 num_heads: int = None,
                 attention: str = 'softmax',
                 ffn_ratio: float = 2,
                 modulation: str = 'residual',
                 position_embedding: bool = False,
                 zero_init: bool = False,
                 pooling: str = 'average',
                 high_channels: int = None):
        super().__init__()
        high_channels = channels if high_channels is None else high_channels
        check_whole('FINE', channels=channels, high_channels=high_channels, kernel_size=kernel_size,
                    sampling_ratio=sampling_ratio)
        check_number('FINE', zero=True, ffn_ratio=ffn_ratio)
        check_flags('FINE', position_embedding=position_embedding, zero_init=zero_init)
        check_option('FINE', ATTENTIONS, attention=attention)
        check_option('FINE', POOLINGS, pooling=pooling)
        check_option('FINE', MODULATIONS, modulation=modulation)
        if num_heads is None:
            if channels > 16 and channels % 16:
                raise ValueError(f'FINE: channels={channels} is not divisible by 16, the channels of a head; '
                                 'give num_heads, a divisor of channels.')
            num_heads = max(1, channels // 16)
        check_whole('FINE', num_heads=num_heads)
        if channels % num_heads:
            raise ValueError(f'FINE: channels={channels} is not divisible by num_heads={num_heads}; give a divisor.')
        if position_embedding and channels % 4:
            raise ValueError(f'FINE: channels={channels} is not divisible by 4, as position_embedding=True needs.')
        if zero_init and modulation != 'residual':
            raise ValueError(f"FINE: zero_init=True needs modulation='residual', not {modulation!r}: "
                             'only low * M + low is the identity at M = 0.')
        self.channels = channels
        self.high_channels = high_channels
        self.kernel_size = kernel_size
        self.sampling_ratio = sampling_ratio
        self.num_heads = num_heads
        self.attention = attention
        self.modulation = modulation
        self.position_embedding = position_embedding

        self.high_proj = nn.Identity() if high_channels == channels else nn.Conv2d(high_channels, channels, 1)
        self.low_pool, self.high_pool = (make_pool(pooling, channels, size)
                                         for size in (kernel_size * sampling_ratio, kernel_size))
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (TokenLinear(channels, channels) for _ in range(4))
        # one weight for all heads
        self.attn_norm = RMSNorm(channels // num_heads) if attention == 'linear' else nn.Identity()
        if ffn_ratio:
            hidden = int(channels * ffn_ratio)
            self.norm1 = nn.LayerNorm(channels)
            self.linear1 = TokenLinear(channels, hidden)
            self.linear2 = TokenLinear(hidden, channels)
            self.norm2 = nn.LayerNorm(channels)
        self.has_ffn = bool(ffn_ratio)
        self.scale = nn.Parameter(torch.zeros(channels)) if zero_init else None

    def check(self, low: Tensor, high: Tensor) -> None:
        """Raise one ValueError where the two maps cannot be a low and a high level of this layer."""
        check_pair(self, low, high)
        if low.shape[1] != self.channels or high.shape[1] != self.high_channels:
            given = (f'channels={self.channels} was given for both' if self.high_channels == self.channels else
                     f'channels={self.channels} and high_channels={self.high_channels} were given')
            raise ValueError(f'FINE: the low map has {low.shape[1]} channels, the high map {high.shape[1]}; {given}.')

    def heads(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, h, N, C/h)."""
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def interact(self, low: Tensor, high: Tensor) -> Tensor:
        """Cross-level attention between the tokens of two maps -> the coarse modulation map, as tokens (B, N, C)."""
        low_tokens, high_tokens = to_tokens(low), to_tokens(high)
        queries, keys = low_tokens, high_tokens
        if self.position_embedding:
            queries = queries + sine_position_embedding(low.shape[2], low.shape[3], self.channels, like=low)
            keys = keys + sine_position_embedding(high.shape[2], high.shape[3], self.channels, like=high)
        q, k, v = self.q_proj(queries), self.k_proj(keys), self.v_proj(keys)  # Eq. 5
        attend = ATTENTIONS[self.attention]
        x = self.attn_norm(attend(self.heads(q), self.heads(k), self.heads(v), low.shape[2:], high.shape[2:]))
        x = self.out_proj(x.transpose(1, 2).flatten(2))  # Eq. 7
        if self.has_ffn:
            x = low_tokens + self.norm1(x)
            x = x + self.norm2(self.linear2(F.gelu(self.linear1(x))))
        return x if self.scale is None else x * self.scale

    def coarse_map(self, low: Tensor, high: Tensor) -> Tensor:
        """The modulation map before it is upsampled: (B, C, h, w), a pixel for each window of the low map."""
        low_pooled, high_pooled = self.low_pool(low), self.high_pool(self.high_proj(high))  # Eq. 4, 10
        if self.attention == 'window':  # before the projections: Table 3's FLOPs count keys and values on the low grid
            high_pooled = F.interpolate(high_pooled, size=low_pooled.shape[2:])
        tokens = self.interact(low_pooled, high_pooled)
        return in_format_of(to_map(tokens, low_pooled.shape[2:]), low)

    def modulation_map(self, low: Tensor, high: Tensor) -> Tensor:
        """The map M (B, C, H, W) that multiplies the low map (Eq. 4 to 8)."""
        return resample(self.coarse_map(low, high), low.shape[2:])  # Eq. 8

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        self.check(low, high)
        coarse = self.coarse_map(low, high)
        if self.modulation == 'residual':
            coarse = coarse + 1  # Eq. 9, low * M + low, as one product; the weights of Eq. 8 sum to one
        modulation = resample(coarse, low.shape[2:])  # Eq. 8
        if self.modulation == 'none':
            return modulation
        place = modulation if is_overwritable() and modulation.dtype == low.dtype else None
        return saturate(torch.mul(low, modulation, out=place), low.dtype)  # fresh memory costs more than the product
