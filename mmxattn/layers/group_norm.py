"""nn.GroupNorm, written out for compilers and exporters.

ONNX had no operator for it before version 21; exporters say it by InstanceNormalization of a reshaped map, and runtimes
that take this one's statistics a channel at a time get other numbers. Written out there is nothing to mistake.
"""
import torch
from torch import Tensor, nn

from ..utils.tracing import is_traced

__all__ = ['GroupNorm']


class GroupNorm(nn.GroupNorm):
    """nn.GroupNorm, with the same parameters and numbers: (B, C, ...) -> (B, C, ...)."""

    def forward(self, x: Tensor) -> Tensor:
        if is_traced():
            return self.written_out(x)
        # flat: PyTorch's backward on a CPU crashes on a channels_last map that needs no gradient, where the weights do
        return super().forward(x.flatten(2)).view(x.shape)

    def written_out(self, x: Tensor) -> Tensor:
        """Means and variances of groups, in single precision at least."""
        groups = x.unflatten(1, (self.num_groups, -1)).flatten(2)  # (B, G, C/G * N)
        groups = groups.to(torch.promote_types(x.dtype, torch.float32))
        groups = groups - groups.mean(2, keepdim=True)
        groups = groups * torch.rsqrt(groups.square().mean(2, keepdim=True) + self.eps)
        weight, bias = (p.view(-1, *(1, ) * (x.dim() - 2)) for p in (self.weight, self.bias))
        return (groups.view(x.shape) * weight + bias).to(x.dtype)
