"""FPN with aligners before its top-down fusions."""
from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmdet.models.necks import FPN
from torch import Tensor

from ...registry import MODELS
from ...utils.validation import check_maps
from .alignment import AlignCfg, align, build_aligners

__all__ = ['AlignedFPN', 'BaseAlignedFPN']


class BaseAlignedFPN(FPN):
    """Feature pyramid network that calls :meth:`align` before each fusion.

    Takes the arguments of :class:`mmdet.models.FPN` and loads its checkpoints.
    """

    @property
    def fusion_channels(self) -> list[tuple[int, int]]:
        """(low, high) channels of each fusion from the top."""
        return [(self.out_channels, self.out_channels)] * (len(self.lateral_convs) - 1)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Fuse the backbone's maps top-down.

        Args:
            inputs: Maps of the backbone, fine to coarse.

        Returns:
            ``num_outs`` maps with ``out_channels`` channels, fine to coarse.
        """
        check_maps(self, inputs, self.in_channels, self.start_level)
        laterals = self.project(inputs)
        for step, i in enumerate(range(len(laterals) - 2, -1, -1)):
            low, high = self.align(step, laterals[i], laterals[i + 1])
            laterals[i] = low + high
        outs = self.smooth(laterals)
        self.add_extra_levels(outs, inputs, laterals)
        return tuple(outs)

    def align(self, step: int, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two maps to add in fusion ``step``, counted from the top, both of the low map's size."""
        raise NotImplementedError

    def project(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Apply the lateral 1x1 convolutions."""
        return [conv(inputs[self.start_level + i]) for i, conv in enumerate(self.lateral_convs)]

    def upsample(self, high: Tensor, low: Tensor) -> Tensor:
        """Upsample the high map to the low map's size as configured by ``upsample_cfg``."""
        size: dict[str, Any] = {} if 'scale_factor' in self.upsample_cfg else dict(size=low.shape[2:])
        return F.interpolate(high, **size, **self.upsample_cfg)

    def smooth(self, laterals: list[Tensor]) -> list[Tensor]:
        """Apply the 3x3 convolutions to the fused maps."""
        return [conv(x) for conv, x in zip(self.fpn_convs, laterals)]

    def add_extra_levels(self, outs: list[Tensor], inputs: Sequence[Tensor], laterals: list[Tensor]) -> None:
        """Append levels coarser than the backbone's to ``outs``, as FPN does."""
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


@MODELS.register_module()
class AlignedFPN(BaseAlignedFPN):
    """FPN with any aligner before its fusions.

    .. code-block:: python

        neck=dict(type='AlignedFPN', align_cfg=dict(type='SNI'))  # replaces an FPN

    Args:
        *args: Arguments of :class:`mmdet.models.FPN`.
        align_cfg: Configs of the aligners, see :mod:`mmxattn.models.necks.alignment`. No aligners by default.
        **kwargs: Arguments of :class:`mmdet.models.FPN`.

    Raises:
        ValueError: If ``align_cfg`` has more entries than there are fusions.
    """

    def __init__(self, *args: Any, align_cfg: AlignCfg = (), **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.aligners = build_aligners(align_cfg, self.fusion_channels)

    def align(self, step: int, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the aligner of fusion ``step``."""
        return align(self.aligners, step, low, high, self.upsample)
