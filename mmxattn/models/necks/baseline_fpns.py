"""FINE's baselines in an FPN: what stands in an aligner's slot by name, and the two that change more of the neck."""
from collections.abc import Sequence
from typing import Any

from mmcv.ops import ModulatedDeformConv2d
from torch import Tensor

from ...layers.baselines import adafpn, fapn, mgc, sni
from ...registry import MODELS
from .aligned_fpn import AlignedFPN

__all__ = ['AdaFPNAlignment', 'FaPN', 'FaPNAlignment', 'MGCFPN', 'SNI']

SNI, AdaFPNAlignment = sni.SNI, adafpn.AdaFPNAlignment
MODELS.register_module(module=SNI)
MODELS.register_module(module=AdaFPNAlignment)


@MODELS.register_module()
class FaPNAlignment(fapn.FaPNAlignment):
    """FaPN's fusion with mmcv's deformable convolution; arguments of :class:`mmxattn.layers.baselines.FaPNAlignment`."""

    def __init__(self, channels: int, high_channels: int = None, deform_groups: int = 1, select: bool = True):
        super().__init__(channels, high_channels, deform_conv=ModulatedDeformConv2d, deform_groups=deform_groups,
                         select=select)


@MODELS.register_module()
class FaPN(AlignedFPN):
    """Feature-aligned pyramid network: FPN with FSM for its lateral convolutions (but the top one) and FAM at fusions.

    Takes all arguments of :class:`mmdet.models.FPN`; what these say of the replaced convolutions is not used.

    Args:
        *args, **kwargs: FPN's own, passed on as they are.
        deform_groups: of FAM's deformable convolutions.
    """

    set_inside = ('align_cfg', )

    def __init__(self, *args: Any, deform_groups: int = 1, **kwargs: Any):
        align_cfg = dict(type=FaPNAlignment, select=False, deform_groups=deform_groups)
        super().__init__(*args, align_cfg=align_cfg, **kwargs)
        for i in range(len(self.lateral_convs) - 1):
            self.lateral_convs[i] = fapn.FeatureSelection(self.in_channels[self.start_level + i], self.out_channels)


@MODELS.register_module()
class MGCFPN(AlignedFPN):
    """FPN whose levels get A^2-FPN's multi-level global context before they are fused.

    Takes all arguments of :class:`mmdet.models.FPN`, and checkpoints of FPN load into it.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.mgc = mgc.MGC(self.in_channels[self.start_level:self.backbone_end_level], self.out_channels)

    def project(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        return self.mgc(inputs[self.start_level:self.backbone_end_level], super().project(inputs))
