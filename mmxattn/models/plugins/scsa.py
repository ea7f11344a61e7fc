"""SCSA as a plugin of a backbone's blocks."""
from ... import layers
from ...registry import MODELS
from .plugin import Plugin

__all__ = ['SCSA']


@MODELS.register_module()
class SCSA(Plugin, layers.SCSA):
    """:class:`mmxattn.layers.SCSA` in a block, as the paper places it: after the 3x3 convolution.

    A stock ResNet builds it with ``inplace=True``, unless its cfg says otherwise.
    """

    takes_inplace = True
