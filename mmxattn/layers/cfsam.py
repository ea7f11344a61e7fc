"""CFSAM: self-attention over all levels of a feature pyramid at once.

Paper: Xie et al., "Cross-Layer Feature Self-Attention Module for Multi-Scale Object Detection".

A 3x3 convolution looks at each level locally; the pixels of all levels become one sequence of tokens, which is dealt
out to a few parts, and a Transformer runs within each part; its output is fused with its input and goes back to the
levels.

Beside the paper's text:
* the paper gives no depth, heads or inner widths: three pre-norm blocks of 4 heads, the MLP twice as wide, are what
  its parameter and operation counts (Table 4) ask for together, with norm and activation after MobileViT;
* ``tokens_per_part`` lets the number of parts grow with the image, so that the cost stays linear in its pixels; the
  paper's two parts are meant for the 1,940 tokens of an SSD300;
* the 1x1 convolutions are products with tokens, which makes tokens of maps, and maps of tokens, at little cost; parts
  go through all blocks a few at a time, and without gradients few tensors are as long as the sequence, so that on a
  CPU the cost of a token hardly grows with the image: fresh memory is dear there;
* ``residual`` and ``zero_init`` (not in the paper) add the input to the output, and start as the identity.
"""
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from ..ops.fused_attention import attention
from ..ops.token_linear import TokenLinear, token_linear
from ..utils.memory_format import in_format_of, to_map, to_tokens
from ..utils.tracing import ceil_div, is_overwritable, is_traced, known_equal, split
from ..utils.validation import check_channels, check_flags, check_maps, check_number, check_option, check_whole
from .safe_norm import normalize

__all__ = ['CFSAM']

STAGES = ('local', 'local+global', 'all')
TOKENS_AT_ONCE = 2**12  # on a CPU: 4 MB of 256 channels, and as much again for each thing made of them


class Block(nn.Module):
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
        self.qkv = TokenLinear(channels, 3 * channels, bias=qkv_bias)
        self.proj = TokenLinear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(TokenLinear(channels, hidden), act(), TokenLinear(hidden, channels))

    def attention(self, x: Tensor) -> Tensor:
        q, k, v = (y.unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (B, h, N, d)
                   for y in self.qkv(x).chunk(3, dim=2))
        return self.proj(attention(q, k, v).transpose(1, 2).flatten(2))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class LocalFeatures(nn.Module):
    """Local feature extraction of one level: Conv3x3, norm, activation, Conv1x1 (Sec. 3.1).

    (B, C_i, H, W) -> tokens (B, H*W, C).
    """

    def __init__(self, in_channels: int, channels: int, norm: Callable | None, act: Callable[[], nn.Module]):
        super().__init__()
        self.conv3x3 = nn.Conv2d(in_channels, in_channels, 3, padding=1, bias=norm is None)
        self.norm = nn.Identity() if norm is None else norm(in_channels)
        self.act = act()
        self.conv1x1 = nn.Conv2d(in_channels, channels, 1)

    def normalize(self, x: Tensor) -> Tensor:
        return normalize(self.norm, x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.normalize(self.conv3x3(x)))
        return token_linear(to_tokens(x), self.conv1x1.weight.flatten(1), self.conv1x1.bias)


class CFSAM(nn.Module):
    """Cross-layer feature self-attention: a list of maps in, maps of the same shapes out.

    Args:
        in_channels: channels C_i of each level.
        channels: width of the tokens.
        depth: Transformer blocks.
        num_heads: attention heads, a divisor of ``channels``.
        mlp_ratio: hidden width of a block's MLP over ``channels``.
        num_parts: parts P that tokens are dealt out to, token n to part n mod P (Sec. 3.2).
        tokens_per_part: a budget; where it is given, ``num_parts`` is the least number of parts and more are made
            when a part would hold more tokens than this.
        norm: builds the norm after each 3x3 convolution from its channels; None for none.
        act: builds an activation.
        stages: what of the module there is (Table 5): 'local', the local features go straight back to the levels
            (Eq. 1 and Recover); 'local+global', through the Transformer (Eq. 1 to 4) but not fused with what entered
            it; 'all'.
        residual: add the input to the output.
        zero_init: start as the identity; for ``residual=True`` and ``stages='all'``.

    Shape:
        [(B, C_i, H_i, W_i), ...] -> the same.

    Raises:
        ValueError: at construction for numbers that do not fit, at the first forward for another number of levels
            or other channels.
        TypeError: text where a number, a list or a flag belongs; one map, or maps of whole numbers or of another type
            than the parameters.
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
        check_channels('CFSAM', in_channels)
        check_whole('CFSAM', channels=channels, depth=depth, num_heads=num_heads, num_parts=num_parts)
        if tokens_per_part is not None:
            check_whole('CFSAM', tokens_per_part=tokens_per_part)
        check_number('CFSAM', mlp_ratio=mlp_ratio)
        check_flags('CFSAM', residual=residual, zero_init=zero_init)
        check_option('CFSAM', STAGES, stages=stages)
        if channels % num_heads:
            raise ValueError(f'CFSAM: channels={channels} is not divisible by num_heads={num_heads}; give a divisor.')
        if zero_init and (not residual or stages != 'all'):
            raise ValueError(f"CFSAM: zero_init=True needs residual=True and stages='all', not {residual} and "
                             f'{stages!r}: the identity is the input plus nothing, which the fusion gives.')
        self.in_channels = tuple(in_channels)
        self.num_parts = num_parts
        self.tokens_per_part = tokens_per_part
        self.stages = stages
        self.residual = residual

        self.local = nn.ModuleList(LocalFeatures(c, channels, norm, act) for c in in_channels)
        if stages != 'local':
            self.blocks = nn.Sequential(*(Block(channels, num_heads, mlp_ratio, act) for _ in range(depth)))
        if stages == 'all':
            self.fusion = TokenLinear(2 * channels, channels)  # a 1x1 convolution, on tokens
        self.restore = nn.ModuleList(
            nn.Identity() if c == channels else nn.Conv2d(channels, c, 1) for c in in_channels)
        if zero_init:
            self.zero_output()

    def zero_output(self) -> None:
        """Make the module's own contribution nothing, with gradients that can leave that point."""
        nn.init.zeros_(self.fusion.weight)
        nn.init.zeros_(self.fusion.bias)
        for conv in self.restore:
            if isinstance(conv, nn.Conv2d):
                nn.init.zeros_(conv.bias)

    def parts(self, num_tokens: int) -> int:
        """How many parts a sequence of N tokens is dealt out to; never more than there are tokens."""
        parts = self.num_parts
        if self.tokens_per_part is not None:
            parts = max(parts, ceil_div(num_tokens, self.tokens_per_part))
        return min(parts, num_tokens)

    def global_features(self, tokens: Tensor) -> Tensor:
        """Partition, Transformer, Combine (Eq. 2 to 4): (B, N, C) -> (B, N, C)."""
        length = tokens.shape[1]
        parts = self.parts(length)
        x = resample(tokens, ceil_div(length, parts) * parts)
        x = x.unflatten(1, (-1, parts))  # (B, N/P, P, C): token n in part n mod P
        if x.device.type != 'cpu' or is_traced():
            x = self.transform(x)
        else:
            x = join((self.transform(some) for some in x.split(self.parts_at_once(x), dim=2)), parts, dim=2)
        return resample(x.flatten(1, 2), length)

    def transform(self, x: Tensor) -> Tensor:
        """The blocks, within each part alone: (B, N/P, p, C) -> the same."""
        batch, parts = x.shape[0], x.shape[2]
        x = self.blocks(x.transpose(1, 2).flatten(0, 1))  # (B*p, N/P, C)
        return x.unflatten(0, (batch, parts)).transpose(1, 2)

    def parts_at_once(self, x: Tensor) -> int:
        """How many parts of (B, N/P, P, C) go through all blocks before the next ones: what a CPU's caches hold."""
        return max(1, TOKENS_AT_ONCE // max(1, x.shape[0] * x.shape[1]))

    def fuse(self, before: Tensor, after: Tensor) -> Tensor:
        """Eq. 5, a convolution over both, concatenated: the sum of one over each. Twice (B, N, C) -> (B, N, C)."""
        weights = self.fusion.weight.chunk(2, dim=1)
        before, after = token_linear(before, weights[0], self.fusion.bias), token_linear(after, weights[1])
        return before.add_(after) if is_overwritable() else before + after

    def relate(self, tokens: Tensor) -> Tensor:
        """What stands between the local features and the levels, as far as ``stages`` goes: (B, N, C) -> (B, N, C)."""
        if self.stages == 'local':
            return tokens
        after = self.global_features(tokens)
        return self.fuse(tokens, after) if self.stages == 'all' else after

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        check_maps(self, maps, self.in_channels)
        sizes = [x.shape[2:] for x in maps]
        lengths = [height * width for height, width in sizes]
        tokens = join((extract(x) for extract, x in zip(self.local, maps)), sum(lengths), dim=1)  # Eq. 1: (B, N, C)
        levels = split(self.relate(tokens), lengths, dim=1)
        out = [restore(to_map(x, size)) for restore, x, size in zip(self.restore, levels, sizes)]
        return [x + y if self.residual else in_format_of(y, like=x) for x, y in zip(maps, out)]


def resample(tokens: Tensor, length: int) -> Tensor:
    """Linear interpolation of a sequence to another length: (B, N, C) -> (B, length, C)."""
    if known_equal(tokens.shape[1], length):
        return tokens
    count = tokens.shape[1]
    # in whole numbers: positions in single precision are off by hundredths of a token where there are 90,000 of them
    places = (2 * torch.arange(length, device=tokens.device) + 1) * count - length  # in 2 * length-ths of a token
    places = torch.where(places < 0, 0, places)  # not clamp(), whose bounds torch 2.13's inductor cannot work out here
    left = places // (2 * length)
    right = (left + 1).clamp(max=count - 1)
    exact = torch.promote_types(tokens.dtype, torch.float32)
    share = ((places - left * (2 * length)).to(exact) / (2 * length)).to(tokens.dtype).unsqueeze(1)
    if not is_piecewise(tokens):
        return torch.lerp(tokens.index_select(1, left), tokens.index_select(1, right), share)
    cut = zip(*(x.split(TOKENS_AT_ONCE) for x in (left, right, share)))
    return join((torch.lerp(tokens.index_select(1, a), tokens.index_select(1, b), c) for a, b, c in cut), length, dim=1)


def is_piecewise(x: Tensor) -> bool:
    """Whether long tensors are made a piece at a time: on a CPU, without gradients or a compiler."""
    return x.device.type == 'cpu' and is_overwritable()


def join(pieces: Iterable[Tensor], size: int, dim: int) -> Tensor:
    """torch.cat to ``size``; where work is piecewise, each goes to its place before the next one is made."""
    pieces = iter(pieces)
    piece = next(pieces)
    if not is_piecewise(piece):
        return torch.cat([piece, *pieces], dim)
    if piece.shape[dim] == size:
        return piece
    whole, start = piece.new_empty(*piece.shape[:dim], size, *piece.shape[dim + 1:]), 0
    while True:
        whole.narrow(dim, start, piece.shape[dim]).copy_(piece)
        start += piece.shape[dim]
        del piece  # or it would be there while the next one is made
        if start == size:
            return whole
        piece = next(pieces)
