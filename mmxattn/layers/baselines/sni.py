"""SNI: soft nearest interpolation, a baseline in FINE's Table 2.

Paper: Li, "Rethinking Features-Fused-Pyramid-Neck for Object Detection", ECCV 2024.

Y = a f(X), where f is nearest-neighbor interpolation and a is the ratio of the numbers of pixels of X and Y: 1/4 if Y
has twice the side.
"""
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.validation import check_pair

__all__ = ['SNI']


class SNI(nn.Module):
    """Soft nearest interpolation of the high map; no parameters.

    Args:
        channels: Channels of the low map. Unused; part of the interface of aligners.
        high_channels: Channels of the high map. Unused.

    Shape:
        low (B, C, H, W), high (B, C', H', W') -> low unchanged, high (B, C', H, W).
    """

    def __init__(self, channels: int, high_channels: int | None = None):
        super().__init__()

    def forward(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        check_pair(self, low, high)
        softness = high.shape[2] * high.shape[3] / (low.shape[2] * low.shape[3])
        return low, F.interpolate(high, size=low.shape[2:]) * softness
