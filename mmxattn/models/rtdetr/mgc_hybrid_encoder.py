"""RT-DETR's hybrid encoder with A^2-FPN's multi-level global context, a baseline of FINE."""
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...layers.baselines import MGC
from ...registry import MODELS
from .hybrid_encoder import RTDETRHybridEncoder

__all__ = ['MGCHybridEncoder']


@MODELS.register_module()
class MGCHybridEncoder(RTDETRHybridEncoder):
    """RT-DETR's hybrid encoder that adds A^2-FPN's multi-level global context to its input levels.

    The other baselines in FINE's Table 2 are aligners: ``align_cfg=dict(type='SNI')``, ``'FaPNAlignment'``,
    ``'AdaFPNAlignment'``. Checkpoints of :class:`RTDETRHybridEncoder` load.

    Args:
        in_channels: Channels of the backbone's maps, fine to coarse.
        out_channels: Channels of the neck.
        **kwargs: Arguments of :class:`RTDETRHybridEncoder`.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, **kwargs: Any):
        super().__init__(in_channels, out_channels, **kwargs)
        self.mgc = MGC(in_channels, out_channels)

    def project(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Project the backbone's maps and add the global context."""
        return self.mgc(inputs, super().project(inputs))
