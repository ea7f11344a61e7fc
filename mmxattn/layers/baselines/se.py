"""SE: squeeze and excitation.

Paper: Hu, Shen and Sun, "Squeeze-and-Excitation Networks". The layer is timm's, without bias as the paper has it.

SCSA's tables count two parameters more for each squeezed channel (28.07M and 49.30M in ResNet-50 and 101, 40.49M and
61.71M in RetinaNet): a normalisation between the two layers. They do not say which; here it is the vector's own, which
one image suffices for. ``norm=False`` is SE as its authors published it.
"""
import functools

from torch import Tensor, nn

from ...utils.validation import check_flags, check_map, check_whole
from ..group_norm import GroupNorm
from .timm_layers import timm_layer

__all__ = ['SE']


class SE(nn.Module):
    """A gate a channel, from all channels' means through two layers with a bottleneck.

    Args:
        channels: channels C of the map.
        reduction: C over the channels of the bottleneck.
        norm: normalise the squeezed vector.

    Shape:
        (B, C, H, W) -> (B, C, H, W).

    Raises:
        ImportError: timm cannot be imported.
    """

    def __init__(self, channels: int, reduction: int = 16, norm: bool = True):
        super().__init__()
        check_whole('SE', channels=channels, reduction=reduction)
        check_flags('SE', norm=norm)
        self.channels = channels
        squeezed = max(1, channels // reduction)
        norm_layer = functools.partial(GroupNorm, 1) if norm else None
        self.gate = timm_layer('squeeze_excite', 'SEModule')(
            channels, rd_channels=squeezed, bias=False, norm_layer=norm_layer)

    def forward(self, x: Tensor) -> Tensor:
        check_map(self, x, self.channels)
        return self.gate(x)
