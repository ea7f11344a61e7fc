"""FPN whose top-down fusions are aligned by FINE."""
from collections.abc import Sequence

import torch.nn.functional as F
from mmdet.models.necks import FPN
from torch import Tensor, nn

from ...layers import FINE
from ...registry import MODELS

__all__ = ['FINEFPN']


@MODELS.register_module()
class FINEFPN(FPN):
    """Feature pyramid network with FINE before its upper fusions (FINE's Eq. 3).

    Takes all arguments of :class:`mmdet.models.FPN` under their names, and checkpoints of FPN load into it: what is
    missing then are the keys of ``fine``. With the default arguments and 256 channels FINE adds 1,054,208 parameters.

    .. code-block:: python

        neck=dict(type='FINEFPN')  # over a recipe whose neck is an FPN

    Args:
        *args, **kwargs: FPN's own, passed on as they are, so that each version's FPN is supported.
        kernel_sizes: pooling window k of FINE for each fusion, counted from the top; fusions below these stay plain.
            By default (1, 2), that is C4 with C5 and C3 with C4, or (1, ) where there are but two levels.
        fine_cfg: further arguments of :class:`mmxattn.layers.FINE`, the same for all.
        zero_init: start as the stock FPN.

    Raises:
        ValueError: more ``kernel_sizes`` than fusions, ``out_channels`` that FINE's heads do not divide, an unknown
            option of FINE; at the first forward another number of inputs than ``in_channels``.
    """

    def __init__(self,
                 *args,
                 kernel_sizes: Sequence[int] | None = None,
                 fine_cfg: dict | None = None,
                 zero_init: bool = False,
                 **kwargs):
        super().__init__(*args, **kwargs)
        fusions = len(self.lateral_convs) - 1
        if kernel_sizes is None:
            kernel_sizes = (1, 2)[:fusions]
        if len(kernel_sizes) > fusions:
            raise ValueError(f'FINEFPN: kernel_sizes={tuple(kernel_sizes)} asks for {len(kernel_sizes)} fusions, but '
                             f'{len(self.lateral_convs)} levels have {fusions}.')
        self.fine = nn.ModuleList(
            FINE(self.out_channels, k, zero_init=zero_init, **(fine_cfg or {})) for k in kernel_sizes)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps of the backbone, fine to coarse, -> ``num_outs`` maps of ``out_channels``, fine to coarse."""
        if len(inputs) != len(self.in_channels):
            raise ValueError(f'FINEFPN: got {len(inputs)} levels; in_channels={list(self.in_channels)} asks for '
                             f'{len(self.in_channels)}.')
        laterals = [conv(inputs[self.start_level + i]) for i, conv in enumerate(self.lateral_convs)]
        self.fuse(laterals)
        return self.outputs(inputs, laterals)

    def fuse(self, laterals: list[Tensor]) -> None:
        """Top-down pathway, in place: each level, aligned with the fused one above, plus that one upsampled."""
        for step, i in enumerate(range(len(laterals) - 2, -1, -1)):
            low, high = laterals[i], laterals[i + 1]
            if step < len(self.fine):
                low = self.fine[step](low, high)
            size = {} if 'scale_factor' in self.upsample_cfg else dict(size=low.shape[2:])
            laterals[i] = low + F.interpolate(high, **size, **self.upsample_cfg)

    def outputs(self, inputs: Sequence[Tensor], laterals: list[Tensor]) -> tuple[Tensor, ...]:
        """FPN's 3x3 convolutions and its extra levels."""
        outs = [conv(x) for conv, x in zip(self.fpn_convs, laterals)]
        extra = self.num_outs - len(outs)
        if not self.add_extra_convs:
            for _ in range(extra):
                outs.append(F.max_pool2d(outs[-1], 1, stride=2))
            return tuple(outs)
        sources = dict(on_input=inputs[self.backbone_end_level - 1], on_lateral=laterals[-1], on_output=outs[-1])
        x = sources[self.add_extra_convs]
        for i in range(extra):
            if i and self.relu_before_extra_convs:
                x = F.relu(x)
            x = self.fpn_convs[len(laterals) + i](x)
            outs.append(x)
        return tuple(outs)
