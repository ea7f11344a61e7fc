"""What the layers use of PyTorch that 2.1, the oldest one they are written for, has not: one place, to go with it."""
import torch
from torch import Tensor, nn

__all__ = ['RMSNorm', 'autocast_dtype', 'is_compiling']

if hasattr(torch.compiler, 'is_compiling'):
    from torch.compiler import is_compiling
else:  # torch < 2.3
    from torch._dynamo import is_compiling

if hasattr(torch, 'get_autocast_dtype'):

    def autocast_dtype(device_type: str) -> torch.dtype | None:
        """The type that autocast computes in on a kind of device, None where it is off."""
        if not torch.amp.is_autocast_available(device_type) or not torch.is_autocast_enabled(device_type):
            return None
        return torch.get_autocast_dtype(device_type)
else:  # torch < 2.4

    def autocast_dtype(device_type: str) -> torch.dtype | None:
        """The type that autocast computes in on a kind of device, None where it is off."""
        if device_type == 'cpu':
            return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
        return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None


class PlainRMSNorm(nn.Module):
    """``torch.nn.RMSNorm`` over the last axis, from its formula: the same numbers, the same key ``weight``.

    Args:
        features: size of the last axis.

    Shape:
        (..., features) -> the same.
    """

    def __init__(self, features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))  # half precision is squared in single, as in PyTorch
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + torch.finfo(wide.dtype).eps)
        return (wide * scale * self.weight).to(x.dtype)


RMSNorm = getattr(nn, 'RMSNorm', PlainRMSNorm)  # torch >= 2.4 has it
