"""RT-DETR's hybrid encoder with A^2-FPN's global context, a baseline of FINE."""
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...layers.baselines.mgc import MGC
from ...registry import MODELS
from .hybrid_encoder import RTDETRHybridEncoder

__all__ = ['MGCHybridEncoder']


@MODELS.register_module()
class MGCHybridEncoder(RTDETRHybridEncoder):
    """RT-DETR's hybrid encoder whose levels get A^2-FPN's multi-level global context as they come in.

    The other baselines of FINE's Table 2 stand in the slot: ``align_cfg=dict(type='SNI')``, ``'FaPNAlignment'``,
    ``'AdaFPNAlignment'``. Takes all arguments of :class:`RTDETRHybridEncoder`, and its checkpoints load.

    Args:
        in_channels: channels of the backbone's maps, fine to coarse.
        out_channels: channels of the maps inside and out.
        **kwargs: the hybrid encoder's own.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, **kwargs: Any):
        super().__init__(in_channels, out_channels, **kwargs)
        self.mgc = MGC(in_channels, out_channels)

    def project(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        return self.mgc(inputs, super().project(inputs))
