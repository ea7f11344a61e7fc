"""CA: coordinate attention, with timm's layer.

Paper: Hou, Zhou and Feng, "Coordinate Attention for Efficient Mobile Network Design". The bottleneck and the biases are
those of the authors' code (25.69M parameters in ResNet-50).
"""
from torch import Tensor, nn

from ...utils.validation import check_map
from .timm_layers import timm_layer

__all__ = ['CA']


class CA(nn.Module):
    """Gate rows and columns with their means through a shared bottleneck.

    Args:
        channels: Number of channels C.
        reduction: Ratio of C to the channels of the bottleneck, which has at least 8.

    Shape:
        (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int, reduction: int = 32):
        super().__init__()
        self.channels = channels
        self.gates = timm_layer('coord_attn', 'CoordAttn')(
            channels, rd_channels=max(8, channels // reduction), bias=True)

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.channels)
        return self.gates(x)
