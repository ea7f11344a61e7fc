"""The layers of the four papers with maps for them, for tests of what all of them promise."""
import torch

from mmxattn.layers import CFSAM, FINE, SCSA, CrossLayerAttention


class Part:
    """A layer, and the channels of the maps that it takes, fine to coarse.

    Args:
        layer: builds it.
        channels: of each map.
        levels: the level of each map; those of one level have one size.
        takes_list: whether it takes the maps as one list.
        degree: the power of its maps that its output grows with.
    """

    def __init__(self, layer, channels, levels, takes_list=False, degree=1):
        self.layer, self.channels, self.levels = layer, channels, levels
        self.takes_list, self.degree = takes_list, degree

    def build(self):
        torch.manual_seed(0)
        return self.arguments(self.layer().eval())

    def arguments(self, layer):
        """The layer as a function of a list of maps that returns a list of maps."""

        def call(maps):
            out = layer(maps) if self.takes_list else layer(*maps)
            return list(out) if isinstance(out, (list, tuple)) else [out]

        call.layer = layer
        return call

    def maps(self, sizes, batch=2, seed=1):
        """Maps of the sizes (H, W) of each level."""
        torch.manual_seed(seed)
        return [torch.randn(batch, c, *sizes[level]) for c, level in zip(self.channels, self.levels)]

    def inputs(self, maps):
        """What the layer is called with."""
        return (maps, ) if self.takes_list else tuple(maps)


def fine(**arguments):
    return Part(lambda: FINE(32, 2, **arguments), [32, 32], [0, 1], degree=2)


def cfsam(**arguments):
    return Part(lambda: CFSAM([16, 8], channels=16, depth=1, tokens_per_part=64, **arguments), [16, 8], [0, 1],
                takes_list=True)


def cla(fine_channels, patch_size=1, **arguments):
    return Part(lambda: CrossLayerAttention(fine_channels, 16, 8, patch_size, **arguments), [fine_channels, 16, 8],
                [0, 1, 1], degree=3)


PARTS = {
    'SCSA': Part(lambda: SCSA(16), [16], [0]),
    'SCSA, PCSA first': Part(lambda: SCSA(16, channel_first=True), [16], [0]),
    'SCSA, PCSA alone': Part(lambda: SCSA(16, spatial=False), [16], [0]),
    'FINE': fine(),
    'FINE, window': fine(attention='window'),
    'FINE, area': fine(attention='area'),
    'FINE, first release': fine(attention='linear', position_embedding=True, modulation='direct', ffn_ratio=4),
    'CFSAM': cfsam(),
    'CFSAM, residual': cfsam(residual=True),
    'CLA': cla(16),
    'CLA, narrow': cla(4),
    'CLA, patches': cla(4, patch_size=2),
}
