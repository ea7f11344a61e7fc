"""MobileViT block: a Transformer between convolutions, over the pixels at the same position in all patches.

Paper: Mehta and Rastegari, "MobileViT: Light-weight, General-purpose, and Mobile-friendly Vision Transformer" (ICLR
2022), Sec. 3.1.

Differences from the paper:
* If the patch size does not divide the map, the map is resized bilinearly to the next multiple, and back afterwards.
* Norms and biases reproduce the published model sizes: batch norm and SiLU after each convolution except the 1x1
  convolution before the Transformer, which has neither, and a layer norm after the Transformer.
"""
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.tracing import ceil_div
from ...utils.validation import check_divisible, check_map
from ..cfsam import TransformerBlock
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
        in_channels: Channels C of the map.
        channels: Channels d of the tokens.
        depth: Number of Transformer blocks.
        num_heads: Number of attention heads, a divisor of ``channels``.
        mlp_ratio: Ratio of the hidden channels of the MLPs to ``channels``.
        patch_size: Side of a patch in pixels.
        norm: Function that builds the norm of a convolution from the number of channels.
        act: Function that builds an activation.

    Shape:
        (B, C, H, W) -> (B, C, H, W).
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
        check_divisible('MobileViTBlock', channels=channels, num_heads=num_heads)
        self.patch_size = patch_size
        self.local = ConvNormAct(in_channels, in_channels, 3, norm, act)
        self.widen = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.blocks = nn.Sequential(
            *(TransformerBlock(channels, num_heads, mlp_ratio, act, qkv_bias=True) for _ in range(depth)),
            nn.LayerNorm(channels))
        self.narrow = ConvNormAct(channels, in_channels, 1, norm, act)
        self.fusion = ConvNormAct(2 * in_channels, in_channels, 3, norm, act)

    def unfold(self, x: Tensor) -> Tensor:
        """Group the pixels of all N patches by their P positions in a patch: (B, d, H, W) -> (B*P, N, d)."""
        p = self.patch_size
        x = x.unflatten(3, (-1, p)).unflatten(2, (-1, p))  # (B, d, H/p, p, W/p, p)
        return x.permute(0, 3, 5, 2, 4, 1).flatten(3, 4).flatten(0, 2)

    def fold(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Invert :meth:`unfold`: (B*P, N, d) -> (B, d, H, W) with ``size=(H, W)``."""
        p = self.patch_size
        x = tokens.unflatten(1, (size[0] // p, size[1] // p)).unflatten(0, (-1, p, p))  # (B, p, p, H/p, W/p, d)
        return x.permute(0, 5, 3, 1, 4, 2).flatten(4, 5).flatten(2, 3)

    def global_features(self, x: Tensor) -> Tensor:
        """Apply the Transformer to a map: (B, d, H, W) -> (B, d, H, W)."""
        size = tuple(x.shape[2:])
        padded = tuple(ceil_div(side, self.patch_size) * self.patch_size for side in size)
        x = self.fold(self.blocks(self.unfold(resize(x, padded))), padded)
        return resize(x, size)

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.local.conv.in_channels)
        y = self.narrow(self.global_features(self.widen(self.local(x))))
        return self.fusion(torch.cat((x, y), dim=1))


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize bilinearly unless the size is the same."""
    return x if tuple(x.shape[2:]) == size else F.interpolate(x, size=size, mode='bilinear', align_corners=False)
