"""PAFPN whose top-down fusions are aligned by FINE."""
from mmdet.models.necks import PAFPN
from torch import Tensor

from ...registry import MODELS
from .fine_fpn import FINEFPN

__all__ = ['FINEPAFPN']


@MODELS.register_module()
class FINEPAFPN(FINEFPN, PAFPN):
    """PANet's neck with FINE before the upper fusions of its top-down pathway; the way back down is PAFPN's.

    Takes all arguments of :class:`mmdet.models.PAFPN` beside FINEFPN's own (``kernel_sizes``, ``fine_cfg``,
    ``zero_init``), and checkpoints of PAFPN load into it. FINE adds 1,054,208 parameters at 256 channels.

    .. code-block:: python

        neck=dict(type='FINEPAFPN')  # over a recipe whose neck is a PAFPN
    """

    def levels(self, laterals: list[Tensor]) -> list[Tensor]:
        """FPN's maps, each with the one below it brought down to its size, then 3x3 convolutions."""
        maps = super().levels(laterals)
        for i, downsample in enumerate(self.downsample_convs):
            maps[i + 1] = maps[i + 1] + downsample(maps[i])
        return maps[:1] + [conv(x) for conv, x in zip(self.pafpn_convs, maps[1:])]
