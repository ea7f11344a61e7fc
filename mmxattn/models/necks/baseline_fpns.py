"""FINE's baselines in an FPN: aligners for :class:`AlignedFPN`, and two separate necks."""
from collections.abc import Sequence
from typing import Any

from mmcv.ops import ModulatedDeformConv2d
from torch import Tensor

from ...layers import baselines
from ...layers.baselines import SNI, AdaFPNAlignment
from ...registry import MODELS
from .aligned_fpn import AlignedFPN

__all__ = ['AdaFPNAlignment', 'FaPN', 'FaPNAlignment', 'MGCFPN', 'SNI']

MODELS.register_module(module=SNI)
MODELS.register_module(module=AdaFPNAlignment)


@MODELS.register_module()
class FaPNAlignment(baselines.FaPNAlignment):
    """:class:`mmxattn.layers.baselines.FaPNAlignment` with mmcv's deformable convolution."""

    def __init__(self, channels: int, high_channels: int | None = None, deform_groups: int = 1, select: bool = True):
        super().__init__(channels, high_channels, deform_conv=ModulatedDeformConv2d, deform_groups=deform_groups,
                         select=select)


@MODELS.register_module()
class FaPN(AlignedFPN):
    """Feature-aligned pyramid network.

    Feature selection (FSM) replaces all lateral convolutions except the top one, and feature alignment (FAM) precedes
    each fusion.

    Args:
        *args: Arguments of :class:`mmdet.models.FPN`.
        deform_groups: Groups of the deformable convolutions.
        **kwargs: Arguments of :class:`mmdet.models.FPN`. Options for the replaced convolutions have no effect.
    """

    def __init__(self, *args: Any, deform_groups: int = 1, **kwargs: Any):
        align_cfg = dict(type=FaPNAlignment, select=False, deform_groups=deform_groups)
        super().__init__(*args, align_cfg=align_cfg, **kwargs)
        for i in range(len(self.lateral_convs) - 1):
            self.lateral_convs[i] = baselines.FeatureSelection(self.in_channels[self.start_level + i],
                                                               self.out_channels)


@MODELS.register_module()
class MGCFPN(AlignedFPN):
    """FPN that adds A^2-FPN's multi-level global context to the levels before their fusion.

    Takes the arguments of :class:`mmdet.models.FPN` and loads its checkpoints.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.mgc = baselines.MGC(self.in_channels[self.start_level:self.backbone_end_level], self.out_channels)

    def project(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Apply the lateral convolutions and add the global context."""
        return self.mgc(inputs[self.start_level:self.backbone_end_level], super().project(inputs))
