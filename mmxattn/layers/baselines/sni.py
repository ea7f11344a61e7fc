"""SNI, soft nearest interpolation: a high map upsampled and made weaker by as much as it was repeated.

Paper: Li, "Rethinking Features-Fused-Pyramid-Neck for Object Detection", ECCV 2024. A baseline of FINE in its Table 2.

Y = a f(X) with f the nearest neighbour and a = resolution of X / resolution of Y: a quarter for twice the side. The
resolution is taken as the number of pixels.
"""
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.validation import check_pair

__all__ = ['SNI']


class SNI(nn.Module):
    """Soft nearest interpolation, for a fusion of two levels; no parameters.

    Args:
        channels: of the low map; any.
        high_channels: of the high map; any.

    Shape:
        low (B, C, H, W), high (B, C', H', W') -> low as it is, and the high map (B, C', H, W).
    """

    def __init__(self, channels: int, high_channels: int = None):
        super().__init__()

    def forward(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        check_pair(self, low, high)
        softness = high.shape[2] * high.shape[3] / (low.shape[2] * low.shape[3])
        return low, F.interpolate(high, size=low.shape[2:]) * softness
