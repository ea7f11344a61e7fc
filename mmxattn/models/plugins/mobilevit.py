"""The MobileViT block as a plugin: for a level of a neck, or a block of a backbone."""
from ...layers import baselines as baselines
from ...registry import MODELS
from .plugin import Plugin

__all__ = ['MobileViTBlock']


@MODELS.register_module()
class MobileViTBlock(Plugin, baselines.MobileViTBlock):
    """:class:`mmxattn.layers.baselines.MobileViTBlock`.

    .. code-block:: python

        dict(type='PerLevelNeck', in_channels=[256] * 5, layer=dict(type='MobileViTBlock', channels=144, depth=2))
    """

    set_inside = ()  # its channels are those inside
