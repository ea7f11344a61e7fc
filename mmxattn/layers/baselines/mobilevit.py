"""MobileViT block: a Transformer between convolutions, over the pixels that stand at one place of all patches.

Paper: Mehta and Rastegari, "MobileViT: Light-weight, General-purpose, and Mobile-friendly Vision Transformer" (ICLR
2022), Sec. 3.1.

Beside the paper's text:
* where a patch does not divide the map, the map is resized to the next multiple, bilinearly, and back afterwards;
* norms and biases are those with which the paper's models have their published sizes: batch norm and SiLU after each
  convolution but the 1x1 one before the Transformer, which has neither, and a layer norm after the Transformer.
"""
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.tracing import ceil_div
from ...utils.validation import check_map, check_number, check_whole
from ..cfsam import Block
from ..safe_norm import normalize

__all__ = ['MobileViTBlock']


class ConvNormAct(nn.Module):
    """Convolution, norm, activation: (B, C, H, W) -> (B, D, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, norm: Callable[[int], nn.Module],
                 act: Callable[[], nn.Module]):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = norm(out_channels)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(normalize(self.norm, self.conv(x)))


class MobileViTBlock(nn.Module):
    """Local and global features of one map.

    Args:
        in_channels: channels C of the map.
        channels: width d of the tokens.
        depth: Transformer blocks L.
        num_heads: attention heads, a divisor of ``channels``.
        mlp_ratio: hidden width of a block's MLP over ``channels``.
        patch_size: side of a patch in pixels.
        norm: builds a convolution's norm from its channels.
        act: builds an activation.

    Shape:
        (B, C, H, W) -> (B, C, H, W).

    Raises:
        ValueError: at construction for numbers that do not fit.
    """

    def __init__(self,
                 in_channels: int,
                 channels: int = 144,
                 depth: int = 2,
                 num_heads: int = 4,
                 mlp_ratio: float = 2,
                 patch_size: int = 2,
                 norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
                 act: Callable[[], nn.Module] = nn.SiLU):
        super().__init__()
        check_whole('MobileViTBlock', in_channels=in_channels, channels=channels, depth=depth, num_heads=num_heads,
                    patch_size=patch_size)
        check_number('MobileViTBlock', mlp_ratio=mlp_ratio)
        if channels % num_heads:
            raise ValueError(f'MobileViTBlock: channels={channels} is not divisible by num_heads={num_heads}; give a '
                             'divisor.')
        self.patch_size = patch_size
        self.local = ConvNormAct(in_channels, in_channels, 3, norm, act)
        self.widen = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.blocks = nn.Sequential(*(Block(channels, num_heads, mlp_ratio, act, qkv_bias=True) for _ in range(depth)),
                                    nn.LayerNorm(channels))
        self.narrow = ConvNormAct(channels, in_channels, 1, norm, act)
        self.fusion = ConvNormAct(2 * in_channels, in_channels, 3, norm, act)

    def unfold(self, x: Tensor) -> Tensor:
        """(B, d, H, W) -> (B*P, N, d): of N patches the pixels at each of their P places."""
        p = self.patch_size
        x = x.unflatten(3, (-1, p)).unflatten(2, (-1, p))  # (B, d, H/p, p, W/p, p)
        return x.permute(0, 3, 5, 2, 4, 1).flatten(3, 4).flatten(0, 2)

    def fold(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """(B*P, N, d) -> (B, d, H, W) of ``size``."""
        p = self.patch_size
        x = tokens.unflatten(1, (size[0] // p, size[1] // p)).unflatten(0, (-1, p, p))  # (B, p, p, H/p, W/p, d)
        return x.permute(0, 5, 3, 1, 4, 2).flatten(4, 5).flatten(2, 3)

    def global_features(self, x: Tensor) -> Tensor:
        """The Transformer over the map, (B, d, H, W) -> (B, d, H, W)."""
        size = tuple(x.shape[2:])
        whole = tuple(ceil_div(side, self.patch_size) * self.patch_size for side in size)
        x = self.fold(self.blocks(self.unfold(resize(x, whole))), whole)
        return resize(x, size)

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.local.conv.in_channels)
        y = self.narrow(self.global_features(self.widen(self.local(x))))
        return self.fusion(torch.cat((x, y), dim=1))


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear interpolation to another height and width."""
    return x if tuple(x.shape[2:]) == size else F.interpolate(x, size=size, mode='bilinear', align_corners=False)
