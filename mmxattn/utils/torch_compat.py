"""Replacements for features that PyTorch 2.1, the oldest supported version, does not have."""
import torch
from torch import Tensor, nn

__all__ = ['RMSNorm', 'autocast_dtype', 'is_compiling', 'is_exporting']

if hasattr(torch.compiler, 'is_compiling'):
    from torch.compiler import is_compiling
else:  # torch < 2.3
    from torch._dynamo import is_compiling

is_exporting = getattr(torch.compiler, 'is_exporting', is_compiling)  # torch >= 2.7

if hasattr(torch, 'get_autocast_dtype'):

    def autocast_dtype(device_type: str) -> torch.dtype | None:
        """Return the autocast dtype of a device type, or None where autocast is disabled."""
        if not torch.amp.is_autocast_available(device_type) or not torch.is_autocast_enabled(device_type):
            return None
        return torch.get_autocast_dtype(device_type)
else:  # torch < 2.4

    def autocast_dtype(device_type: str) -> torch.dtype | None:
        """Return the autocast dtype of a device type, or None where autocast is disabled."""
        if device_type == 'cpu':
            return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
        return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None


class PlainRMSNorm(nn.Module):
    """``nn.RMSNorm`` over the last dimension, with the same parameter name.

    Args:
        features: Size of the last dimension.
    """

    def __init__(self, features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))  # squares overflow in float16
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + torch.finfo(wide.dtype).eps)
        return (wide * scale * self.weight).to(x.dtype)


RMSNorm = getattr(nn, 'RMSNorm', PlainRMSNorm)  # torch >= 2.4
