"""Norms that have to live with a single value a channel: a 1x1 map of one image, as SSD300's last level is."""
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ['normalize']


def normalize(norm: nn.Module, x: Tensor) -> Tensor:
    """``norm(x)``; BatchNorm takes its running statistics where the batch has none.

    A single value has no variance, and BatchNorm raises on it in training; the running statistics are the best there
    is.

    Args:
        norm: any norm, or nn.Identity.
        x: (B, C, H, W).

    Returns:
        (B, C, H, W).
    """
    if isinstance(norm, nn.BatchNorm2d) and norm.training and x[:, 0].numel() == 1:
        return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    return norm(x)
