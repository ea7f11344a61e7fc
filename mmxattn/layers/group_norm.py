"""nn.GroupNorm that exports as elementary operators.

ONNX has a GroupNormalization operator only since opset 21. For older opsets, exporters emit InstanceNormalization on a
reshaped map, for which some runtimes compute different statistics. Elementary operators avoid this problem.
"""
import torch
from torch import Tensor, nn

from ..utils.tracing import is_traced

__all__ = ['GroupNorm']


class GroupNorm(nn.GroupNorm):
    """nn.GroupNorm with the same parameters and results.

    Shape:
        (B, C, ...) -> (B, C, ...)
    """

    def forward(self, x: Tensor) -> Tensor:
        if is_traced():
            return self.forward_elementary(x)
        # Flatten, because PyTorch's CPU backward crashes on a channels_last input that does not require a gradient.
        return super().forward(x.flatten(2)).view(x.shape)

    def forward_elementary(self, x: Tensor) -> Tensor:
        """Compute the norm from means and squares, in float32 or higher precision."""
        groups = x.unflatten(1, (self.num_groups, -1)).flatten(2)  # (B, G, C/G * N)
        groups = groups.to(torch.promote_types(x.dtype, torch.float32))
        groups = groups - groups.mean(2, keepdim=True)
        groups = groups * torch.rsqrt(groups.square().mean(2, keepdim=True) + self.eps)
        weight, bias = (p.view(-1, *(1, ) * (x.dim() - 2)) for p in (self.weight, self.bias))
        return (groups.view(x.shape) * weight + bias).to(x.dtype)
