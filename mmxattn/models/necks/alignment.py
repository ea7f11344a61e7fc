"""The slot of a neck for what aligns a low level with the high one before the two are fused.

An aligner is a module that is built with ``channels`` (of the low map) and ``high_channels``, and called with
``(low, high)``, whose strides differ by 2. It returns the aligned low map (FINE), or a pair where it brings the high
map onto the low one's grid itself (its baselines): ``(low, high)``, both of the low map's height and width.

A neck says which by ``align_cfg``: a dict, for every fusion the same, or a list of dicts, one a fusion, counted from
the top; fusions beyond its end stay plain. ``type`` is a registered name or a class, the rest are its arguments.

.. code-block:: python

    align_cfg=[dict(type='FINE', kernel_size=1), dict(type='FINE', kernel_size=2)]  # C4 with C5, C3 with C4
    align_cfg=dict(type='SNI')                                                      # all fusions

A neck builds its aligners once and asks for both maps at each fusion, whatever it does with them (add, concatenate):

.. code-block:: python

    self.fine = build_aligners(align_cfg, channels=[(256, 256), (256, 256)], owner='RTDETRHybridEncoder')
    low, high = align(self.fine, step, low, high, upsample)  # both on the low grid
"""
import inspect
from collections.abc import Callable, Sequence

from mmengine.model import ModuleList
from torch import Tensor, nn

from ...layers import FINE
from ...registry import MODELS

__all__ = ['FINE', 'align', 'build_aligners', 'build_fine']

MODELS.register_module(module=FINE)

AlignCfg = dict | Sequence[dict]


def build_aligners(align_cfg: AlignCfg, channels: Sequence[tuple[int, int]], owner: str) -> ModuleList:
    """The aligners of a neck, counted from the top.

    Args:
        align_cfg: one cfg for every fusion, or a list of cfgs, one a fusion.
        channels: (low, high) channels of each fusion, from the top.
        owner: the neck's name, for messages.

    Raises:
        ValueError: more cfgs than fusions, a type that nobody registered, an argument that the aligner does not have,
            or what it refuses itself.
        TypeError: no cfg.
    """
    cfgs = [align_cfg] * len(channels) if isinstance(align_cfg, dict) else align_cfg
    if not isinstance(cfgs, (list, tuple)) or any(not isinstance(cfg, dict) or 'type' not in cfg for cfg in cfgs):
        raise TypeError(f"{owner}: align_cfg={align_cfg!r} has to be a dict with a type, as dict(type='SNI'), or a "
                        'list of such dicts, one a fusion from the top.')
    if len(cfgs) > len(channels):
        raise ValueError(f'{owner}: align_cfg has {len(cfgs)} entries for {len(channels)} fusions; give one a fusion.')
    # mmengine's list: after the neck's init_cfg has drawn every Conv2d it lets an aligner set its own start
    return ModuleList([build_aligner(cfg, *pair, owner) for cfg, pair in zip(cfgs, channels)])


def build_aligner(cfg: dict, low_channels: int, high_channels: int, owner: str) -> nn.Module:
    """One aligner of its cfg; it is built here and not by the registry, so that its own error is the one seen."""
    arguments = dict(cfg)
    kind = arguments.pop('type')
    cls = MODELS.get(kind) if isinstance(kind, str) else kind
    if cls is None:
        raise ValueError(f'{owner}: align_cfg has type={kind!r}, which is not registered; '
                         "custom_imports = dict(imports=['mmxattn']) registers FINE and its baselines.")
    taken = inspect.signature(cls).parameters
    unknown = [f'{name}={value!r}' for name, value in arguments.items() if name not in taken]
    if unknown and not any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        raise ValueError(f'{owner}: {cls.__name__} takes no {unknown[0]}; its arguments are {", ".join(taken)}.')
    return cls(low_channels, high_channels=high_channels, **arguments)


def build_fine(kernel_sizes: Sequence[int] | None, fine_cfg: dict | None, zero_init: bool,
               channels: Sequence[tuple[int, int]], owner: str) -> ModuleList:
    """The aligners of a FINE neck, from the arguments that all of these share.

    Args:
        kernel_sizes: pooling window k of each fusion from the top, by default (1, 2), as many as there are fusions.
        fine_cfg: further arguments of FINE, the same for all.
        zero_init: start as the identity.
        channels: (low, high) channels of each fusion, from the top.
        owner: the neck's name, for messages.

    Raises:
        ValueError: more ``kernel_sizes`` than fusions, or what FINE itself refuses.
    """
    if kernel_sizes is None:
        kernel_sizes = (1, 2)[:len(channels)]
    if not isinstance(kernel_sizes, (list, tuple)):
        raise TypeError(f'{owner}: kernel_sizes={kernel_sizes!r} is no list; give the window of each fusion, from the '
                        'top, as in [1, 2].')
    if not isinstance(fine_cfg or {}, dict) or {'type', 'kernel_size', 'zero_init'} & set(fine_cfg or {}):
        raise ValueError(f'{owner}: fine_cfg={fine_cfg!r} has to be a dict of further arguments of FINE; kernel_sizes '
                         'and zero_init are arguments of the neck.')
    if len(kernel_sizes) > len(channels):
        raise ValueError(f'{owner}: kernel_sizes={tuple(kernel_sizes)} asks for {len(kernel_sizes)} fusions, but '
                         f'{len(channels) + 1} levels have {len(channels)}; give one a fusion.')
    cfgs = [dict(type=FINE, kernel_size=k, zero_init=zero_init, **(fine_cfg or {})) for k in kernel_sizes]
    return build_aligners(cfgs, channels, owner)


def align(aligners: Sequence[nn.Module], step: int, low: Tensor, high: Tensor,
          upsample: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """The two maps of a fusion, both on the low map's grid.

    Args:
        aligners: from the top; fusions beyond them are plain.
        step: which fusion, counted from the top.
        low: (B, C, H, W).
        high: (B, C', H', W').
        upsample: the neck's own, ``upsample(high, low)`` -> the high map (B, C', H, W).
    """
    if step >= len(aligners):
        return low, upsample(high, low)
    aligned = aligners[step](low, high)
    return aligned if isinstance(aligned, tuple) else (aligned, upsample(high, low))
