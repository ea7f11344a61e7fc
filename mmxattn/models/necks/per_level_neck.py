"""Neck that applies a backbone plugin to each level."""
from collections.abc import Sequence

from mmengine.model import ModuleList
from torch import Tensor

from ...registry import MODELS
from ...utils.validation import check_maps
from .second_neck import SecondNeck

__all__ = ['PerLevelNeck']


@MODELS.register_module()
class PerLevelNeck(SecondNeck):
    """Apply a separate layer to each map of the preceding neck.

    .. code-block:: python

        neck=[{{_base_.model.neck}}, dict(type='PerLevelNeck', in_channels=[256] * 5, layer=dict(type='SE'))]

    Args:
        in_channels: Channels of each input map, fine to coarse.
        layer: Config of a module that takes ``in_channels`` and keeps the shape of its input, such as a backbone
            plugin. The neck sets ``in_channels``.
        init_cfg: Initialization config of mmengine.
    """

    def __init__(self, in_channels: Sequence[int], layer: dict, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.in_channels = list(in_channels)
        self.layers = ModuleList(MODELS.build(dict(in_channels=c, **layer)) for c in in_channels)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return maps of the same shapes."""
        check_maps(self, inputs, self.in_channels)
        return tuple(layer(x) for layer, x in zip(self.layers, inputs))
