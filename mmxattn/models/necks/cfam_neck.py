"""CFAM as a neck that follows another neck."""
from collections.abc import Sequence

from torch import Tensor

from ...layers.baselines import CFAM
from ...registry import MODELS
from .second_neck import SecondNeck

__all__ = ['CFAMNeck']


@MODELS.register_module()
class CFAMNeck(SecondNeck):
    """Channel attention across the maps of the preceding neck.

    All outputs have ``channels`` channels, so ``in_channels`` of an SSD head must be ``[channels] * levels``.

    Args:
        in_channels: Channels of each input map, fine to coarse.
        channels: Channels of the output maps.
        ratio: Reduction of the squeeze, see :class:`mmxattn.layers.baselines.CFAM`.
        init_cfg: Initialization config of mmengine.
    """

    def __init__(self, in_channels: Sequence[int], channels: int = 256, ratio: int = 16, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.cfam = CFAM(in_channels, channels, ratio)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return maps of the same sizes with ``channels`` channels."""
        return tuple(self.cfam(inputs))
