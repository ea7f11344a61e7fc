"""CFAM as a neck that stands after any other."""
from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor

from ...layers.baselines import CFAM
from ...registry import MODELS

__all__ = ['CFAMNeck']


@MODELS.register_module()
class CFAMNeck(BaseModule):
    """Channel attention across the maps of the neck before it, which come out with equal channels.

    The head has to be told: an SSD's ``in_channels`` become ``[channels] * levels``.

    Args:
        in_channels: channels of every input map, fine to coarse.
        channels, ratio: as in :class:`mmxattn.layers.baselines.CFAM`.
        init_cfg: mmengine's initialisation.

    Raises:
        ValueError: as :class:`mmxattn.layers.baselines.CFAM`.
    """

    def __init__(self, in_channels: Sequence[int], channels: int = 256, ratio: int = 16, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.cfam = CFAM(in_channels, channels, ratio)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps -> maps of the same sizes and ``channels`` channels."""
        return tuple(self.cfam(inputs))
