"""SE: squeeze and excitation, with timm's layer.

Paper: Hu, Shen and Sun, "Squeeze-and-Excitation Networks".

Differences from the paper: there is a norm between the two layers, since SCSA's tables count two more parameters per
squeezed channel (28.07M and 49.30M in ResNet-50 and 101, 40.49M and 61.71M in RetinaNet). The tables do not specify the
norm; the group norm over the squeezed vector also works for a single image. ``norm=False`` gives the paper's form.
"""
import functools

from torch import Tensor, nn

from ...utils.validation import check_map
from ..group_norm import GroupNorm
from .timm_layers import timm_layer

__all__ = ['SE']


class SE(nn.Module):
    """Gate each channel with the means of all channels through a bottleneck.

    Args:
        channels: Number of channels C.
        reduction: Ratio of C to the channels of the bottleneck.
        norm: Normalize the squeezed vector.

    Shape:
        (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int, reduction: int = 16, norm: bool = True):
        super().__init__()
        self.channels = channels
        self.gate = timm_layer('squeeze_excite', 'SEModule')(
            channels,
            rd_channels=max(1, channels // reduction),
            bias=False,
            norm_layer=functools.partial(GroupNorm, 1) if norm else None)

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.channels)
        return self.gate(x)
