"""RepVGG block: two convolutions in training, one convolution in inference.

Paper: Ding et al., "RepVGG: Making VGG-style ConvNets Great Again".

Differences from the paper: no identity branch, and SiLU, as in RT-DETR (Fig. 4). Parameters have the same names as in
RT-DETR's release.
"""
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ['ConvNorm', 'RepVGGBlock']


class ConvNorm(nn.Module):
    """Convolution without bias, BatchNorm, activation.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        kernel_size: Odd kernel size; padded to keep the size.
        stride: Stride s.
        act: Class of the activation; None for no activation.

    Shape:
        (B, in_channels, H, W) -> (B, out_channels, ceil(H / s), ceil(W / s)).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1,
                 act: Callable[[], nn.Module] | None = None):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = nn.Identity() if act is None else act()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))

    def merged(self) -> tuple[Tensor, Tensor]:
        """Return the weight and bias of the convolution with the norm folded into it."""
        mean, variance = cast(Tensor, self.norm.running_mean), cast(Tensor, self.norm.running_var)
        scale = self.norm.weight / (variance + self.norm.eps).sqrt()  # (C_out,)
        return self.conv.weight * scale.view(-1, 1, 1, 1), self.norm.bias - mean * scale


class RepVGGBlock(nn.Module):
    """Compute act(BN(Conv3x3(x)) + BN(Conv1x1(x))).

    Args:
        channels: Number of channels C.
        act: Class of the activation.

    Shape:
        (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int, act: Callable[[], nn.Module] = nn.SiLU):
        super().__init__()
        self.conv1: ConvNorm | nn.Conv2d = ConvNorm(channels, channels, 3)
        self.conv2: ConvNorm | nn.Identity = ConvNorm(channels, channels, 1)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.conv1, nn.Conv2d):  # merged
            return self.act(self.conv1(x))
        return self.act(self.conv1(x) + self.conv2(x))

    @torch.no_grad()
    def merge(self) -> None:
        """Merge both branches into one 3x3 convolution for inference. This cannot be undone."""
        if isinstance(self.conv1, nn.Conv2d) or isinstance(self.conv2, nn.Identity):
            return
        weight, bias = self.conv1.merged()
        weight_1x1, bias_1x1 = self.conv2.merged()
        conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1).to(weight)
        weight = weight + F.pad(weight_1x1, (1, 1, 1, 1))
        conv.load_state_dict(dict(weight=weight, bias=bias + bias_1x1))
        self.conv1, self.conv2 = conv, nn.Identity()
