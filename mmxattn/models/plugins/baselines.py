"""Attention layers that the papers compare against, as plugins.

SE, CBAM, ECA and CA are timm's layers. They require timm when they are constructed.
"""
from ...layers import baselines
from ...registry import MODELS
from .plugin import Plugin

__all__ = ['CA', 'CBAM', 'CPCA', 'ECA', 'ELA', 'EMA', 'FCA', 'MobileViTBlock', 'SA', 'SE']


@MODELS.register_module()
class SE(Plugin, baselines.SE):
    """Squeeze and excitation, see :class:`mmxattn.layers.baselines.SE`."""
    position = 'after_conv3'


@MODELS.register_module()
class CBAM(Plugin, baselines.CBAM):
    """Channel and spatial attention, see :class:`mmxattn.layers.baselines.CBAM`."""
    position = 'after_conv3'


@MODELS.register_module()
class ECA(Plugin, baselines.ECA):
    """Efficient channel attention, see :class:`mmxattn.layers.baselines.ECA`. Counts are the same at all positions."""
    position = 'after_conv3'


@MODELS.register_module()
class FCA(Plugin, baselines.FCA):
    """Frequency channel attention, see :class:`mmxattn.layers.baselines.FCA`."""
    position = 'after_conv3'


@MODELS.register_module()
class SA(Plugin, baselines.SA):
    """Shuffle attention, see :class:`mmxattn.layers.baselines.SA`."""


@MODELS.register_module()
class CA(Plugin, baselines.CA):
    """Coordinate attention, see :class:`mmxattn.layers.baselines.CA`."""


@MODELS.register_module()
class EMA(Plugin, baselines.EMA):
    """Efficient multi-scale attention, see :class:`mmxattn.layers.baselines.EMA`."""


@MODELS.register_module()
class CPCA(Plugin, baselines.CPCA):
    """Channel prior convolutional attention, see :class:`mmxattn.layers.baselines.CPCA`."""


@MODELS.register_module()
class ELA(Plugin, baselines.ELA):
    """Efficient local attention, see :class:`mmxattn.layers.baselines.ELA`."""


@MODELS.register_module()
class MobileViTBlock(Plugin, baselines.MobileViTBlock):
    """MobileViT block, see :class:`mmxattn.layers.baselines.MobileViTBlock`.

    .. code-block:: python

        dict(type='PerLevelNeck', in_channels=[256] * 5, layer=dict(type='MobileViTBlock', channels=144, depth=2))
    """
