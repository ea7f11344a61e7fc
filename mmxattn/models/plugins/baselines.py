"""What SCSA's paper compares it with, as plugins that take its place: the same interface, another ``type``.

SE, CBAM, ECA and CA are timm's layers and need it when they are built; the others need nothing.
"""
from ...layers import baselines as baselines
from ...registry import MODELS
from .plugin import Plugin

__all__ = ['CA', 'CBAM', 'CPCA', 'ECA', 'ELA', 'EMA', 'FCA', 'SA', 'SE']


@MODELS.register_module()
class SE(Plugin, baselines.SE):
    """:class:`mmxattn.layers.baselines.SE`, squeeze and excitation, in a block."""
    position = 'after_conv3'


@MODELS.register_module()
class CBAM(Plugin, baselines.CBAM):
    """:class:`mmxattn.layers.baselines.CBAM`, channel and spatial attention, in a block."""
    position = 'after_conv3'


@MODELS.register_module()
class ECA(Plugin, baselines.ECA):
    """:class:`mmxattn.layers.baselines.ECA`, efficient channel attention, in a block; its place changes no count."""
    position = 'after_conv3'


@MODELS.register_module()
class FCA(Plugin, baselines.FCA):
    """:class:`mmxattn.layers.baselines.FCA`, frequency channel attention, in a block."""
    position = 'after_conv3'


@MODELS.register_module()
class SA(Plugin, baselines.SA):
    """:class:`mmxattn.layers.baselines.SA`, shuffle attention, in a block."""


@MODELS.register_module()
class CA(Plugin, baselines.CA):
    """:class:`mmxattn.layers.baselines.CA`, coordinate attention, in a block."""


@MODELS.register_module()
class EMA(Plugin, baselines.EMA):
    """:class:`mmxattn.layers.baselines.EMA`, efficient multi-scale attention, in a block."""


@MODELS.register_module()
class CPCA(Plugin, baselines.CPCA):
    """:class:`mmxattn.layers.baselines.CPCA`, channel prior convolutional attention, in a block."""


@MODELS.register_module()
class ELA(Plugin, baselines.ELA):
    """:class:`mmxattn.layers.baselines.ELA`, efficient local attention, in a block."""
