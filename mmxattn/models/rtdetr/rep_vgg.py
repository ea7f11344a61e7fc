"""RepVGG's block: two convolutions side by side in training, one convolution afterwards.

Papers: Ding et al., "RepVGG: Making VGG-style ConvNets Great Again"; without its identity branch, and with SiLU, in
RT-DETR (Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection", Fig. 4).

Beside the papers: the sum of the two branches is exact in real numbers; in float32 the merged block differs from the
two branches by rounding only. Parameters keep the names of RT-DETR's release (conv1, conv2, each with conv and norm).
"""
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ['ConvNorm', 'RepVGGBlock']


class ConvNorm(nn.Module):
    """Convolution without bias, BatchNorm, activation: (B, C_in, H, W) -> (B, C_out, ceil(H/s), ceil(W/s)).

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel_size: odd; the padding keeps the size.
        stride: s.
        act: class of the activation; None for none.
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
        """Weight and bias of the one convolution that convolution and norm, with its running statistics, are."""
        mean, variance = cast(Tensor, self.norm.running_mean), cast(Tensor, self.norm.running_var)
        scale = self.norm.weight / (variance + self.norm.eps).sqrt()  # (C_out, )
        return self.conv.weight * scale.view(-1, 1, 1, 1), self.norm.bias - mean * scale


class RepVGGBlock(nn.Module):
    """act(BN(Conv3x3(x)) + BN(Conv1x1(x))): (B, C, H, W) -> (B, C, H, W).

    Args:
        channels: C.
        act: class of the activation.
    """

    def __init__(self, channels: int, act: Callable[[], nn.Module] = nn.SiLU):
        super().__init__()
        self.conv1: ConvNorm | nn.Conv2d = ConvNorm(channels, channels, 3)
        self.conv2: ConvNorm | nn.Identity = ConvNorm(channels, channels, 1)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.branches(x))

    def branches(self, x: Tensor) -> Tensor:
        if isinstance(self.conv1, nn.Conv2d):  # merged
            return self.conv1(x)
        return self.conv1(x) + self.conv2(x)

    @torch.no_grad()
    def merge(self) -> None:
        """Replace both branches by the one 3x3 convolution that they are in eval mode. For good: to train, rebuild."""
        if isinstance(self.conv1, nn.Conv2d) or isinstance(self.conv2, nn.Identity):
            return
        weight, bias = self.conv1.merged()
        pointwise, more = self.conv2.merged()
        conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1).to(weight)
        weight = weight + F.pad(pointwise, (1, 1, 1, 1))  # a 1x1 kernel is the centre of a 3x3 one
        conv.load_state_dict(dict(weight=weight, bias=bias + more))
        self.conv1, self.conv2 = conv, nn.Identity()
