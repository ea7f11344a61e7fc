"""CFSAM: self-attention over all levels of a feature pyramid at once.

Paper: Xie et al., "Cross-Layer Feature Self-Attention Module for Multi-Scale Object Detection".

Differences from the paper:
* The paper does not specify the depth, the number of heads or the hidden widths. Three pre-norm blocks with four heads
  and an MLP of twice the width match its parameter and operation counts (Table 4). The norm and the activation are
  those of MobileViT.
* ``tokens_per_part`` increases the number of parts with the image size, so that the cost grows linearly with the number
  of pixels. The two parts in the paper are suitable for the 1,940 tokens of an SSD300.
* ``residual`` (not in the paper) adds the input to the output. ``zero_init`` (not in the paper) initializes the module
  as the identity.
"""
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..utils.memory_format import match_memory_format, to_map, to_tokens
from ..utils.tracing import ceil_div, is_traced
from ..utils.validation import check_divisible, check_maps, check_option
from .safe_norm import normalize

__all__ = ['CFSAM']


class LocalFeatures(nn.Module):
    """Local features of one level: Conv3x3, norm, activation, Conv1x1; (B, C_i, H, W) -> (B, C, H, W)."""

    def __init__(self, in_channels: int, channels: int, norm: Callable | None, act: Callable[[], nn.Module]):
        super().__init__()
        self.conv3x3 = nn.Conv2d(in_channels, in_channels, 3, padding=1, bias=norm is None)
        self.norm = nn.Identity() if norm is None else norm(in_channels)
        self.act = act()
        self.conv1x1 = nn.Conv2d(in_channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1x1(self.act(normalize(self.norm, self.conv3x3(x))))


class TransformerBlock(nn.Module):
    """Pre-norm Transformer block: (B, N, C) -> (B, N, C)."""

    def __init__(self,
                 channels: int,
                 num_heads: int,
                 mlp_ratio: float,
                 act: Callable[[], nn.Module],
                 qkv_bias: bool = False):
        super().__init__()
        self.num_heads = num_heads
        hidden = int(channels * mlp_ratio)
        self.norm1 = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels, bias=qkv_bias)
        self.proj = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), act(), nn.Linear(hidden, channels))

    def attention(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=2)
        q, k, v = (y.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for y in (q, k, v))  # (B, heads, N, d)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class CFSAM(nn.Module):
    """Cross-layer feature self-attention over a list of maps. The output maps have the same shapes.

    Args:
        in_channels: Channels C_i of each level.
        channels: Channels C of the tokens.
        depth: Number of Transformer blocks.
        num_heads: Attention heads, a divisor of ``channels``.
        mlp_ratio: Ratio of the hidden width of a block's MLP to ``channels``.
        num_parts: Number of parts P; token n belongs to part n mod P (Sec. 3.2). If P does not divide N, the
            sequence is resampled linearly to a multiple of P, and back.
        tokens_per_part: Maximum number of tokens in a part. If given, ``num_parts`` is a minimum that grows with the
            number of tokens.
        norm: Function that builds the norm after each 3x3 convolution from the number of channels; None for no norm.
        act: Function that builds an activation.
        stages: Stages to use (Table 5): 'local' for the local features (Eq. 1); 'local+global' to add the Transformer
            (Eq. 1 to 4); 'all' to also add the fusion of its output with its input (Eq. 1 to 5).
        residual: Add the input to the output.
        zero_init: Start as the identity; requires ``residual=True`` and ``stages='all'``.

    Shape:
        - maps: (B, C_i, H_i, W_i) per level
        - output: list of maps of the same shapes
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 channels: int = 256,
                 depth: int = 3,
                 num_heads: int = 4,
                 mlp_ratio: float = 2,
                 num_parts: int = 2,
                 tokens_per_part: int | None = None,
                 norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d,
                 act: Callable[[], nn.Module] = nn.SiLU,
                 stages: str = 'all',
                 residual: bool = False,
                 zero_init: bool = False):
        super().__init__()
        check_option('CFSAM', ('local', 'local+global', 'all'), stages=stages)
        check_divisible('CFSAM', channels=channels, num_heads=num_heads)
        if zero_init and (not residual or stages != 'all'):
            raise ValueError(f"CFSAM: zero_init=True requires residual=True and stages='all', got residual={residual} "
                             f'and stages={stages!r}.')
        self.in_channels = tuple(in_channels)
        self.num_parts = num_parts
        self.tokens_per_part = tokens_per_part
        self.stages = stages
        self.residual = residual

        self.local = nn.ModuleList(LocalFeatures(c, channels, norm, act) for c in in_channels)
        if stages != 'local':
            self.blocks = nn.Sequential(*(TransformerBlock(channels, num_heads, mlp_ratio, act) for _ in range(depth)))
        if stages == 'all':
            self.fusion = nn.Linear(2 * channels, channels)  # a 1x1 convolution of tokens
        self.restore = nn.ModuleList(
            nn.Identity() if c == channels else nn.Conv2d(channels, c, 1) for c in in_channels)
        if zero_init:
            self.zero_output()

    def zero_output(self) -> None:
        """Zero the fusion and the biases of ``restore``, so that the output starts at zero and can still be trained."""
        nn.init.zeros_(self.fusion.weight)
        nn.init.zeros_(self.fusion.bias)
        for conv in self.restore:
            if isinstance(conv, nn.Conv2d):
                nn.init.zeros_(conv.bias)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        check_maps(self, maps, self.in_channels)
        local = [extract(x) for extract, x in zip(self.local, maps)]
        tokens = torch.cat([to_tokens(x) for x in local], dim=1)  # Eq. 1: (B, N, C)
        tokens = self.mix_levels(tokens)

        outs, start = [], 0
        for restore, x in zip(self.restore, maps):
            height, width = x.shape[2:]
            level = tokens.narrow(1, start, height * width)  # tokens.split() becomes a sequence in ONNX
            out = restore(to_map(level, (height, width)))  # Recover in Eq. 5: (B, C_i, H_i, W_i)
            outs.append(x + out if self.residual else match_memory_format(out, x))
            start += height * width
        return outs

    def mix_levels(self, tokens: Tensor) -> Tensor:
        """Exchange information between the tokens of all levels (Eq. 2 to 5): (B, N, C) -> (B, N, C)."""
        if self.stages == 'local':
            return tokens
        batch, length = tokens.shape[:2]
        parts = self.parts_of(length)
        x = interpolate(tokens, ceil_div(length, parts) * parts)
        x = x.unflatten(1, (-1, parts)).transpose(1, 2).flatten(0, 1)  # Eq. 2: (B*P, N/P, C)
        x = self.blocks(x)  # Eq. 3
        x = x.unflatten(0, (batch, parts)).transpose(1, 2).flatten(1, 2)  # Eq. 4: (B, N, C)
        x = interpolate(x, length)
        if self.stages == 'all':
            x = self.fusion(torch.cat((tokens, x), dim=2))  # Eq. 5
        return x

    def parts_of(self, num_tokens: int) -> int:
        """Number of parts for a sequence of N tokens, at most N."""
        parts = self.num_parts
        if self.tokens_per_part is not None:
            parts = max(parts, ceil_div(num_tokens, self.tokens_per_part))
        return min(parts, num_tokens)


def interpolate(tokens: Tensor, length: int) -> Tensor:
    """Linear interpolation along the sequence: (B, N, C) -> (B, length, C).

    Unlike F.interpolate, which computes positions in float32, this is exact for sequences of 90,000 tokens, and it
    avoids a transpose.
    """
    count = tokens.shape[1]
    if not is_traced() and count == length:  # a traced graph must work for every length
        return tokens
    # (i + 0.5) * count / length - 0.5 for output token i, in units of 1 / (2 * length)
    position = (2 * torch.arange(length, device=tokens.device) + 1) * count - length
    position = torch.where(position < 0, 0, position)  # torch.compile (2.13) fails on clamp here
    left = position // (2 * length)
    right = (left + 1).clamp(max=count - 1)
    wide = torch.promote_types(tokens.dtype, torch.float32)
    weight = ((position - left * (2 * length)).to(wide) / (2 * length)).to(tokens.dtype).unsqueeze(1)
    return torch.lerp(tokens.index_select(1, left), tokens.index_select(1, right), weight)
