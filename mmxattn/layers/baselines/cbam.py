"""CBAM: channel attention, then spatial attention, with timm's layer.

Paper: Woo et al., "CBAM: Convolutional Block Attention Module". As in SCSA's tables (28.07M parameters in ResNet-50),
the channel part has no bias, and a batch norm follows the spatial convolution.
"""
from torch import Tensor, nn

from ...utils.validation import check_map
from .timm_layers import timm_layer

__all__ = ['CBAM']


class CBAM(nn.Module):
    """Gate channels with their mean and maximum, then pixels with the mean and maximum over channels.

    Args:
        channels: Number of channels C.
        reduction: Ratio of C to the channels of the bottleneck in the channel part.
        kernel_size: Odd kernel size of the spatial convolution.

    Shape:
        (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int, reduction: int = 16, kernel_size: int = 7):
        super().__init__()
        self.channels = channels
        self.gates = timm_layer('cbam', 'CbamModule')(
            channels, rd_channels=max(1, channels // reduction), spatial_kernel_size=kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.channels)
        return self.gates(x)
