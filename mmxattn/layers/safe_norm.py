"""Norms that have to live with a single value a channel: a 1x1 map of one image, as SSD300's last level is."""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ['normalize']


def normalize(norm: nn.Module, x: Tensor) -> Tensor:
    """``norm(x)``; BatchNorm takes its running statistics where the batch has none.

    A single value has no variance, and BatchNorm raises on it in training; the running statistics are the best there
    is. SyncBatchNorm has the values of all processes, and is left alone where there are several.

    Args:
        norm: any norm, or nn.Identity.
        x: (B, C, H, W), or sequences (B, C, L).

    Returns:
        The same shape.
    """
    if needs_values(norm) and norm.training and x[:, 0].numel() == 1:
        return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    return norm(x)


def needs_values(norm: nn.Module) -> bool:
    """Whether a norm in training raises on a single value a channel."""
    if isinstance(norm, nn.SyncBatchNorm):
        return not (torch.distributed.is_available() and torch.distributed.is_initialized()
                    and torch.distributed.get_world_size() > 1)
    return isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d))
