"""nn.Linear for tokens, at the speed of a convolution on a CPU.

On a CPU PyTorch hands products of matrices to a BLAS library and convolutions to oneDNN. The latter has code for every
x86 processor; the former, where it is Intel's, takes half as wide instructions on others and is then half as fast. A
linear layer over tokens is a 1x1 convolution of a map of one row whose channels are last in memory, of which neither
way needs a copy. (A map of one column is the same map, but oneDNN's gradients of one take up to five times as long.)
"""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..utils.tracing import is_traced

__all__ = ['TokenLinear', 'token_linear']

HAS_ONEDNN = torch.backends.mkldnn.is_available()


def token_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear.

    Args:
        x: tokens (B, N, C).
        weight: (D, C).
        bias: (D, ).

    Returns:
        (B, N, D).
    """
    usable = HAS_ONEDNN and x.device.type == 'cpu' and x.dtype == torch.float32 and x.numel()
    if is_traced() or not usable:
        return F.linear(x, weight, bias)
    x = x.contiguous()  # the convolution gives tokens in the order that it takes, and is worth a copy
    row = x.reshape(1, 1, -1, x.shape[2]).permute(0, 3, 1, 2)  # (1, C, 1, B*N)
    return F.conv2d(row, weight[:, :, None, None], bias).permute(0, 2, 3, 1).reshape(*x.shape[:2], -1)


class TokenLinear(nn.Linear):
    """nn.Linear, with the same parameters, for (B, N, C) -> (B, N, D)."""

    def forward(self, x: Tensor) -> Tensor:
        return token_linear(x, self.weight, self.bias)
