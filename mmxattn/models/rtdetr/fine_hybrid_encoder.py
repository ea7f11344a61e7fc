"""RT-DETR's hybrid encoder with FINE before its top-down fusions."""
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...registry import MODELS
from ..necks.alignment import align, build_fine
from .hybrid_encoder import BaseHybridEncoder

__all__ = ['FINEHybridEncoder']


@MODELS.register_module()
class FINEHybridEncoder(BaseHybridEncoder):
    """RT-DETR's hybrid encoder with FINE before its top-down fusions (FINE's Eq. 3).

    Takes the arguments of :class:`RTDETRHybridEncoder` except ``align_cfg`` and loads its checkpoints; only the keys of
    ``fine`` are missing. With 256 channels and the default arguments, FINE adds 1,054,208 parameters.

    .. code-block:: python

        neck=dict(type='FINEHybridEncoder')  # replaces an RTDETRHybridEncoder

    Args:
        *args: Arguments of :class:`RTDETRHybridEncoder`.
        kernel_sizes: Pooling window k of FINE for each fusion from the top. Defaults to (1, 2).
        fine_cfg: Further arguments of :class:`mmxattn.layers.FINE`, shared by all fusions.
        zero_init: Start as the hybrid encoder without FINE.
        **kwargs: Arguments of :class:`RTDETRHybridEncoder`.

    Raises:
        ValueError: If there are more ``kernel_sizes`` than fusions, or an argument is invalid for the encoder or FINE.
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
