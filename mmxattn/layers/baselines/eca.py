"""ECA: efficient channel attention, with timm's layer.

Paper: Wang et al., "ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks".
"""
from torch import Tensor, nn

from ...utils.validation import check_map
from .timm_layers import timm_layer

__all__ = ['ECA']


class ECA(nn.Module):
    """Gate channels with a convolution over the means of neighboring channels.

    The kernel size grows with log(C): 3 at 64 channels, 5 from 128, 7 at 2048.

    Args:
        channels: Number of channels C.

    Shape:
        (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels
        self.gate = timm_layer('eca', 'EcaModule')(channels)

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.channels)
        return self.gate(x)
