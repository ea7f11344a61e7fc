"""Batch norm that accepts a single value per channel, such as the 1x1 map of one image in SSD300's last level."""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ['normalize']


def normalize(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply ``norm``; batch norm uses its running statistics if the batch has one value per channel.

    PyTorch's batch norm raises an error in this case in training mode, because one value has no variance.

    Args:
        norm: Any norm, or nn.Identity.
        x: Map of shape (B, C, H, W) or sequence of shape (B, C, L).

    Returns:
        Tensor of the same shape.
    """
    if norm.training and needs_values(norm) and x[:, 0].numel() == 1:
        return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    return norm(x)


def needs_values(norm: nn.Module) -> bool:
    """Check whether ``norm`` raises an error for one value per channel in training."""
    if isinstance(norm, nn.SyncBatchNorm):  # which collects the values of all processes
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        return not distributed or torch.distributed.get_world_size() == 1
    return isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d))
