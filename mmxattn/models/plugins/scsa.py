"""SCSA as a plugin."""
from ... import layers
from ...registry import MODELS
from .plugin import Plugin

__all__ = ['SCSA']


@MODELS.register_module()
class SCSA(Plugin, layers.SCSA):
    """Spatial and channel synergistic attention, see :class:`mmxattn.layers.SCSA`.

    The paper places it after the 3x3 convolution of a block.
    """
