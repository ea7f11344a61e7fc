"""FPN with FINE before its upper fusions."""
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...registry import MODELS
from .aligned_fpn import BaseAlignedFPN
from .alignment import align, build_fine

__all__ = ['FINEFPN']


@MODELS.register_module()
class FINEFPN(BaseAlignedFPN):
    """Feature pyramid network with FINE before its upper fusions (FINE's Eq. 3).

    Takes the arguments of :class:`mmdet.models.FPN` and loads its checkpoints; only the keys of ``fine`` are missing.
    With 256 channels and the default arguments, FINE adds 1,054,208 parameters.

    .. code-block:: python

        neck=dict(type='FINEFPN')  # replaces an FPN

    Args:
        *args: Arguments of :class:`mmdet.models.FPN`.
        kernel_sizes: Pooling window k of FINE for each fusion from the top; the remaining fusions do not use FINE.
            Defaults to (1, 2), for the fusions of C4 with C5 and of C3 with C4.
        fine_cfg: Further arguments of :class:`mmxattn.layers.FINE`, shared by all fusions.
        zero_init: Start as the stock FPN.
        **kwargs: Arguments of :class:`mmdet.models.FPN`.

    Raises:
        ValueError: If there are more ``kernel_sizes`` than fusions or an argument is invalid for FINE.
    """

    def __init__(self,
                 *args: Any,
                 kernel_sizes: Sequence[int] | None = None,
                 fine_cfg: dict | None = None,
                 zero_init: bool = False,
                 **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fine = build_fine(kernel_sizes, fine_cfg, zero_init, self.fusion_channels)

    def align(self, step: int, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the FINE module of fusion ``step``."""
        return align(self.fine, step, low, high, self.upsample)
