"""CBAM: channel attention, then spatial attention.

Paper: Woo et al., "CBAM: Convolutional Block Attention Module". The layer is timm's, with a batch norm after the
spatial convolution; without bias in the channel part, as SCSA's tables count it (28.07M in ResNet-50).
"""
from torch import Tensor, nn

from ...utils.validation import check_map, check_odd, check_whole
from .timm_layers import timm_layer

__all__ = ['CBAM']


class CBAM(nn.Module):
    """A gate a channel from its mean and maximum, then a gate a pixel from the mean and maximum over channels.

    Args:
        channels: channels C of the map.
        reduction: C over the channels of the bottleneck in the channel part.
        kernel_size: side of the spatial convolution.

    Shape:
        (B, C, H, W) -> (B, C, H, W).

    Raises:
        ImportError: timm cannot be imported.
    """

    def __init__(self, channels: int, reduction: int = 16, kernel_size: int = 7):
        super().__init__()
        check_whole('CBAM', channels=channels, reduction=reduction)
        check_odd('CBAM', kernel_size=kernel_size)
        self.channels = channels
        squeezed = max(1, channels // reduction)
        self.gates = timm_layer('cbam', 'CbamModule')(
            channels, rd_channels=squeezed, spatial_kernel_size=kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.channels)
        return self.gates(x)
