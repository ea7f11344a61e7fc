"""PAFPN with FINE before its upper top-down fusions."""
from mmdet.models.necks import PAFPN
from torch import Tensor

from ...registry import MODELS
from .fine_fpn import FINEFPN

__all__ = ['FINEPAFPN']


@MODELS.register_module()
class FINEPAFPN(FINEFPN, PAFPN):
    """PANet's neck with FINE before the upper fusions of its top-down pathway.

    Takes the arguments of :class:`mmdet.models.PAFPN` and FINEFPN's ``kernel_sizes``, ``fine_cfg`` and ``zero_init``,
    and loads checkpoints of PAFPN. With 256 channels, FINE adds 1,054,208 parameters.

    .. code-block:: python

        neck=dict(type='FINEPAFPN')  # replaces a PAFPN
    """

    def smooth(self, laterals: list[Tensor]) -> list[Tensor]:
        """Apply the 3x3 convolutions and PAFPN's bottom-up pathway."""
        maps = super().smooth(laterals)
        for i, downsample in enumerate(self.downsample_convs):
            maps[i + 1] = maps[i + 1] + downsample(maps[i])
        return maps[:1] + [conv(x) for conv, x in zip(self.pafpn_convs, maps[1:])]
