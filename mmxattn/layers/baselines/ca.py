"""CA: coordinate attention.

Paper: Hou, Zhou and Feng, "Coordinate Attention for Efficient Mobile Network Design". The layer is timm's, with the
bottleneck and the biases that the paper's authors have: at least 8 channels, or C / 32 (25.69M in ResNet-50).
"""
from torch import Tensor, nn

from ...utils.validation import check_map, check_whole
from .timm_layers import timm_layer

__all__ = ['CA']


class CA(nn.Module):
    """A gate a row and a gate a column, from their means through one shared bottleneck.

    Args:
        channels: channels C of the map.
        reduction: C over the channels of the bottleneck, which has 8 at least.

    Shape:
        (B, C, H, W) -> (B, C, H, W).

    Raises:
        ImportError: timm cannot be imported.
    """

    def __init__(self, channels: int, reduction: int = 32):
        super().__init__()
        check_whole('CA', channels=channels, reduction=reduction)
        self.channels = channels
        squeezed = max(8, channels // reduction)
        self.gates = timm_layer('coord_attn', 'CoordAttn')(channels, rd_channels=squeezed, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.channels)
        return self.gates(x)
