"""ECA: efficient channel attention.

Paper: Wang et al., "ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks". The layer is timm's.
"""
from torch import Tensor, nn

from ...utils.validation import check_map, check_whole
from .timm_layers import timm_layer

__all__ = ['ECA']


class ECA(nn.Module):
    """A gate a channel, from the means of the channels beside it: one convolution along channels.

    Its length grows with the logarithm of C: 3 at 64 channels, 5 from 128, 7 at 2048.

    Args:
        channels: channels C of the map.

    Shape:
        (B, C, H, W) -> (B, C, H, W).

    Raises:
        ImportError: timm cannot be imported.
    """

    def __init__(self, channels: int):
        super().__init__()
        check_whole('ECA', channels=channels)
        self.channels = channels
        self.gate = timm_layer('eca', 'EcaModule')(channels)

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.channels)
        return self.gate(x)
