"""Aligners: modules that align a low level with the level above before a neck fuses the two.

An aligner is constructed with ``channels`` (of the low map) and ``high_channels``, and called with ``(low, high)``. It
returns either the aligned low map (FINE), or a pair ``(low, high)`` of the low map's size if it upsamples the high map
itself (FINE's baselines).

``align_cfg`` of a neck is one config for all fusions, or a list with one config per fusion from the top. The remaining
fusions are not aligned:

.. code-block:: python

    align_cfg=dict(type='SNI')
    align_cfg=[dict(type='FINE', kernel_size=1), dict(type='FINE', kernel_size=2)]  # C4 with C5, C3 with C4
"""
from collections.abc import Callable, Sequence

from mmengine.model import ModuleList
from torch import Tensor, nn

from ...layers import FINE
from ...registry import MODELS

__all__ = ['FINE', 'align', 'build_aligners', 'build_fine']

MODELS.register_module(module=FINE)

AlignCfg = dict | Sequence[dict]


def build_aligners(align_cfg: AlignCfg, channels: Sequence[tuple[int, int]]) -> ModuleList:
    """Build the aligners of a neck.

    Args:
        align_cfg: One config for all fusions, or a list with one per fusion from the top.
        channels: (low, high) channels of each fusion from the top.

    Returns:
        Aligners from the top.

    Raises:
        ValueError: If there are more configs than fusions.
    """
    cfgs = [align_cfg] * len(channels) if isinstance(align_cfg, dict) else align_cfg
    if len(cfgs) > len(channels):
        raise ValueError(f'align_cfg must have at most {len(channels)} entries, one per fusion, got {len(cfgs)}.')
    # mmengine's ModuleList, so that aligners re-initialize themselves after the neck's init_cfg.
    return ModuleList(MODELS.build(dict(cfg, channels=low, high_channels=high))
                      for cfg, (low, high) in zip(cfgs, channels))


def build_fine(kernel_sizes: Sequence[int] | None, fine_cfg: dict | None, zero_init: bool,
               channels: Sequence[tuple[int, int]]) -> ModuleList:
    """Build the FINE modules of a neck.

    Args:
        kernel_sizes: Pooling window k of each fusion from the top; (1, 2) by default, or (1,) for a single fusion.
        fine_cfg: Further arguments of :class:`mmxattn.layers.FINE`, shared by all modules.
        zero_init: Start as the identity.
        channels: (low, high) channels of each fusion from the top.

    Returns:
        FINE modules from the top.

    Raises:
        ValueError: If there are more ``kernel_sizes`` than fusions.
    """
    if kernel_sizes is None:
        kernel_sizes = (1, 2)[:len(channels)]
    if len(kernel_sizes) > len(channels):
        raise ValueError(f'kernel_sizes must have at most {len(channels)} entries, one per fusion, got '
                         f'{tuple(kernel_sizes)}.')
    return ModuleList(FINE(low, high_channels=high, kernel_size=k, zero_init=zero_init, **(fine_cfg or {}))
                      for k, (low, high) in zip(kernel_sizes, channels))


def align(aligners: Sequence[nn.Module], step: int, low: Tensor, high: Tensor,
          upsample: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Prepare the two maps of a fusion.

    Args:
        aligners: Aligners from the top.
        step: Index of the fusion from the top. Fusions without an aligner only upsample.
        low: Map of shape (B, C, H, W).
        high: Map of shape (B, C', H', W').
        upsample: Called as ``upsample(high, low)``, returns the high map at the low map's size.

    Returns:
        Low and high map, both of size (H, W).
    """
    if step >= len(aligners):
        return low, upsample(high, low)
    aligned = aligners[step](low, high)
    return aligned if isinstance(aligned, tuple) else (aligned, upsample(high, low))
