"""RT-DETR's hybrid encoder whose top-down fusions are aligned by FINE."""
from collections.abc import Sequence
from typing import Any

from ...registry import MODELS
from ..necks.alignment import build_fine
from .hybrid_encoder import RTDETRHybridEncoder

__all__ = ['FINEHybridEncoder']


@MODELS.register_module()
class FINEHybridEncoder(RTDETRHybridEncoder):
    """RT-DETR's hybrid encoder with FINE before its top-down fusions (FINE's Eq. 3).

    Takes all arguments of :class:`RTDETRHybridEncoder`, and its checkpoints load: what is missing then are the keys of
    ``fine``. With the default arguments and 256 channels FINE adds 1,054,208 parameters.

    .. code-block:: python

        neck=dict(type='FINEHybridEncoder')  # over a recipe whose neck is an RTDETRHybridEncoder

    Args:
        *args, **kwargs: the hybrid encoder's own.
        kernel_sizes: pooling window k of FINE for each fusion, counted from the top. By default (1, 2).
        fine_cfg: further arguments of :class:`mmxattn.layers.FINE`, the same for all.
        zero_init: start as the hybrid encoder without FINE.

    Raises:
        ValueError: more ``kernel_sizes`` than fusions, and what the hybrid encoder and FINE refuse.
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
