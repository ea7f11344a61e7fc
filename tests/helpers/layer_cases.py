"""The layers of the four papers with inputs, for tests of properties that all layers share."""
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from mmxattn.layers import CFSAM, FINE, SCSA, CrossLayerAttention


@dataclass
class LayerCase:
    """A layer and the maps that it takes, fine to coarse.

    Attributes:
        build_layer: Builds the layer.
        channels: Channels of each map.
        levels: Level of each map; maps of one level have one size.
        takes_list: Whether the layer takes its maps as one list.
        degree: Exponent with which the output grows with its maps.
    """

    build_layer: Callable[[], nn.Module]
    channels: list[int]
    levels: list[int]
    takes_list: bool = False
    degree: int = 1

    def build(self):
        """Build the layer in eval mode, always with the same parameters."""
        torch.manual_seed(0)
        return self.build_layer().eval()

    def maps(self, sizes, batch=2, seed=1):
        """Random maps for a size (H, W) per level."""
        torch.manual_seed(seed)
        return [torch.randn(batch, c, *sizes[level]) for c, level in zip(self.channels, self.levels)]

    def args(self, maps):
        """Positional arguments of the layer."""
        return (maps, ) if self.takes_list else tuple(maps)

    def run(self, layer, maps):
        """Call ``layer`` and return its outputs as a list."""
        outs = layer(*self.args(maps))
        return list(outs) if isinstance(outs, (list, tuple)) else [outs]


def fine(**kwargs):
    return LayerCase(lambda: FINE(32, 2, **kwargs), [32, 32], [0, 1], degree=2)


def cfsam(**kwargs):
    return LayerCase(lambda: CFSAM([16, 8], channels=16, depth=1, tokens_per_part=64, **kwargs), [16, 8], [0, 1],
                     takes_list=True)


def cla(fine_channels, patch_size):
    return LayerCase(lambda: CrossLayerAttention(fine_channels, 16, 8, patch_size), [fine_channels, 16, 8], [0, 1, 1],
                     degree=3)


CASES = {
    'scsa': LayerCase(lambda: SCSA(16), [16], [0]),
    'scsa-channel-first': LayerCase(lambda: SCSA(16, channel_first=True), [16], [0]),
    'scsa-channel-only': LayerCase(lambda: SCSA(16, spatial=False), [16], [0]),
    'fine': fine(),
    'fine-window': fine(attention='window'),
    'fine-area': fine(attention='area'),
    'fine-released': fine(attention='linear', position_embedding=True, modulation='direct', ffn_ratio=4),
    'cfsam': cfsam(),
    'cfsam-residual': cfsam(residual=True),
    'cla': cla(4, patch_size=1),
    'cla-patches': cla(4, patch_size=2),
}
