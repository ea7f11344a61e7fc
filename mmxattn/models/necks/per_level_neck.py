"""Any plugin of a backbone's blocks, on each level of a neck."""
from collections.abc import Sequence

from mmengine.model import BaseModule, ModuleList
from torch import Tensor

from ...registry import MODELS
from ...utils.validation import check_channels, check_levels

__all__ = ['PerLevelNeck']


@MODELS.register_module()
class PerLevelNeck(BaseModule):
    """A layer of its own for each map of the neck before it: no level sees another.

    .. code-block:: python

        neck=[{{_base_.model.neck}}, dict(type='PerLevelNeck', in_channels=[256] * 5, layer=dict(type='SE'))]

    Args:
        in_channels: channels of every input map, fine to coarse.
        layer: cfg of a module that takes ``in_channels`` and keeps the shape of a map (B, C, H, W), as the plugins of
            a backbone do; the neck adds ``in_channels``.
        init_cfg: mmengine's initialisation.

    Raises:
        ValueError: no levels; at the first forward another number of inputs than ``in_channels``.
    """

    def __init__(self, in_channels: Sequence[int], layer: dict, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        check_channels('PerLevelNeck', in_channels)
        if not isinstance(layer, dict) or 'type' not in layer:
            raise TypeError(f"PerLevelNeck: layer={layer!r} is no cfg; give a dict with a type, as dict(type='SE').")
        self.in_channels = list(in_channels)
        self.layers = ModuleList(MODELS.build(dict(in_channels=c, **layer)) for c in in_channels)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps -> maps of the same shapes."""
        check_levels(self, inputs, self.in_channels)
        return tuple(layer(x) for layer, x in zip(self.layers, inputs))
