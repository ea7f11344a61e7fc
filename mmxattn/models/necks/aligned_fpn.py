"""FPN whose top-down fusions pass an aligner, whichever."""
from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmdet.models.necks import FPN
from torch import Tensor

from ...registry import MODELS
from ...utils.tracing import is_observed
from ...utils.validation import check_levels
from ..stock_rules import stock_rules
from .alignment import AlignCfg, align, build_aligners

__all__ = ['AlignedFPN']


@MODELS.register_module()
class AlignedFPN(FPN):
    """Feature pyramid network with a slot before each fusion, for FINE's baselines; FINEFPN is the one with FINE in it.

    Takes all arguments of :class:`mmdet.models.FPN` under their names, and checkpoints of FPN load into it.

    .. code-block:: python

        neck=dict(type='AlignedFPN', align_cfg=dict(type='SNI'))  # over a recipe whose neck is an FPN

    Args:
        *args, **kwargs: FPN's own, passed on as they are, so that each version's FPN is supported.
        align_cfg: what aligns, see ``alignment.py``. By default nothing does: the stock FPN.

    Raises:
        ValueError: an ``align_cfg`` for more fusions than there are, or an unknown type, a ``start_level`` that is not
            there, and what FPN asserts; at the first forward other inputs than ``in_channels``.
    """

    slot = 'aligners'  # the attribute that holds them, and so their keys in a checkpoint

    def __init__(self, *args: Any, align_cfg: AlignCfg = (), **kwargs: Any):
        with stock_rules(type(self).__name__, args, kwargs):
            super().__init__(*args, **kwargs)
        if not 0 <= self.start_level < self.backbone_end_level:
            raise ValueError(f'{type(self).__name__}: start_level={self.start_level} is no level of in_channels='
                             f'{list(self.in_channels)} below {self.backbone_end_level}, where they end; count from 0.')
        self.fusion_channels = [(self.out_channels, self.out_channels)] * (len(self.lateral_convs) - 1)
        setattr(self, self.slot, build_aligners(align_cfg, self.fusion_channels, type(self).__name__))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps of the backbone, fine to coarse, -> ``num_outs`` maps of ``out_channels``, fine to coarse."""
        check_levels(self, inputs, self.in_channels, self.start_level)
        laterals = self.project(inputs)
        self.fuse(laterals)
        outs = self.levels(laterals)
        self.add_extra_levels(outs, inputs, laterals)
        return tuple(outs)

    def project(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The backbone's maps, each as ``out_channels`` channels: FPN's lateral convolutions."""
        return [conv(inputs[self.start_level + i]) for i, conv in enumerate(self.lateral_convs)]

    def fuse(self, laterals: list[Tensor]) -> None:
        """Top-down pathway, in place: each level, aligned with the fused one above, plus that one upsampled."""
        made = None  # by this neck: nobody else holds a reference, and its gradient does not need it

        def upsample(high: Tensor, low: Tensor) -> Tensor:
            """The high map on the low map's grid, as FPN's ``upsample_cfg`` has it."""
            nonlocal made
            size: dict[str, Any] = {} if 'scale_factor' in self.upsample_cfg else dict(size=low.shape[2:])
            made = F.interpolate(high, **size, **self.upsample_cfg)
            return made

        for step, i in enumerate(range(len(laterals) - 2, -1, -1)):
            low, high = align(getattr(self, self.slot), step, laterals[i], laterals[i + 1], upsample)
            in_place = high is made and high.dtype == low.dtype and not is_observed(high)
            laterals[i] = high.add_(low) if in_place else low + high  # fresh memory costs more than the sum

    def levels(self, laterals: list[Tensor]) -> list[Tensor]:
        """One map for each fused level: FPN's 3x3 convolutions."""
        return [conv(x) for conv, x in zip(self.fpn_convs, laterals)]

    def add_extra_levels(self, outs: list[Tensor], inputs: Sequence[Tensor], laterals: list[Tensor]) -> None:
        """FPN's coarser levels beyond the backbone's, appended to ``outs``."""
        extra = self.num_outs - len(outs)
        if not self.add_extra_convs:
            for _ in range(extra):
                outs.append(F.max_pool2d(outs[-1], 1, stride=2))
            return
        sources = dict(on_input=inputs[self.backbone_end_level - 1], on_lateral=laterals[-1], on_output=outs[-1])
        x = sources[self.add_extra_convs]
        for i in range(extra):
            if i and self.relu_before_extra_convs:
                x = F.relu(x)
            x = self.fpn_convs[len(laterals) + i](x)
            outs.append(x)
