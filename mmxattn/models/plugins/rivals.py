"""What SCSA's paper compares it with, as plugins that take its place: the same interface, another ``type``.

SE, CBAM, ECA and CA are timm's layers and need it when they are built; the others need nothing.
"""
from ...layers import rivals
from ...registry import MODELS
from .plugin import Plugin

__all__ = ['CA', 'CBAM', 'CPCA', 'ECA', 'ELA', 'EMA', 'FCA', 'SA', 'SE']


@MODELS.register_module()
class SE(Plugin, rivals.SE):
    """:class:`mmxattn.layers.rivals.SE`, squeeze and excitation, in a block."""
    position = 'after_conv3'


@MODELS.register_module()
class CBAM(Plugin, rivals.CBAM):
    """:class:`mmxattn.layers.rivals.CBAM`, channel and spatial attention, in a block."""
    position = 'after_conv3'


@MODELS.register_module()
class ECA(Plugin, rivals.ECA):
    """:class:`mmxattn.layers.rivals.ECA`, efficient channel attention, in a block; its place changes no count."""
    position = 'after_conv3'


@MODELS.register_module()
class FCA(Plugin, rivals.FCA):
    """:class:`mmxattn.layers.rivals.FCA`, frequency channel attention, in a block."""
    position = 'after_conv3'


@MODELS.register_module()
class SA(Plugin, rivals.SA):
    """:class:`mmxattn.layers.rivals.SA`, shuffle attention, in a block."""


@MODELS.register_module()
class CA(Plugin, rivals.CA):
    """:class:`mmxattn.layers.rivals.CA`, coordinate attention, in a block."""


@MODELS.register_module()
class EMA(Plugin, rivals.EMA):
    """:class:`mmxattn.layers.rivals.EMA`, efficient multi-scale attention, in a block."""


@MODELS.register_module()
class CPCA(Plugin, rivals.CPCA):
    """:class:`mmxattn.layers.rivals.CPCA`, channel prior convolutional attention, in a block."""


@MODELS.register_module()
class ELA(Plugin, rivals.ELA):
    """:class:`mmxattn.layers.rivals.ELA`, efficient local attention, in a block."""
