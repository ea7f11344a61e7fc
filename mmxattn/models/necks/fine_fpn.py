"""FPN whose top-down fusions are aligned by FINE."""
from collections.abc import Sequence
from typing import Any

from ...registry import MODELS
from .aligned_fpn import AlignedFPN
from .alignment import build_fine

__all__ = ['FINEFPN']


@MODELS.register_module()
class FINEFPN(AlignedFPN):
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

    slot = 'fine'
    set_inside = ('align_cfg', )

    def __init__(self,
                 *args: Any,
                 kernel_sizes: Sequence[int] | None = None,
                 fine_cfg: dict | None = None,
                 zero_init: bool = False,
                 **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fine = build_fine(kernel_sizes, fine_cfg, zero_init, self.fusion_channels, type(self).__name__)
