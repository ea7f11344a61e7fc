"""Checks of constructor arguments and feature maps.

The checks read only shapes, never values, so they do not synchronize with the GPU. Under ``torch.jit.trace``, where
sizes are tensors, the checks of feature maps do nothing.
"""
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ['check_divisible', 'check_map', 'check_maps', 'check_option', 'check_pair']


def check_option(owner: str, options: Collection, **arguments: Any) -> None:
    """Check that each argument is one of ``options``."""
    for name, value in arguments.items():
        if value not in options:
            raise ValueError(f'{owner}: {name} must be one of {", ".join(map(repr, options))}, got {value!r}.')


def check_divisible(owner: str, **arguments: int) -> None:
    """Check that the first of two arguments is divisible by the second, as in ``channels=64, groups=4``."""
    (name, value), (divisor_name, divisor) = arguments.items()
    if divisor < 1 or value % divisor:
        raise ValueError(f'{owner}: {name} must be divisible by {divisor_name}, got {name}={value} and '
                         f'{divisor_name}={divisor}.')


def check_map(layer: nn.Module, x: Tensor, channels: int | None = None, name: str = 'input') -> None:
    """Check that ``x`` has shape (B, channels, H, W). If ``channels`` is None, any number of channels is accepted."""
    if torch.jit.is_tracing():
        return
    if x.dim() != 4 or (channels is not None and x.shape[1] != channels):
        expected = 'C' if channels is None else channels
        raise ValueError(f'{type(layer).__name__}: {name} must have shape (B, {expected}, H, W), got {tuple(x.shape)}.')


def check_maps(layer: nn.Module, maps: Sequence[Tensor], in_channels: Sequence[int], start_level: int = 0) -> None:
    """Check that ``maps`` contains one map (B, C_i, H_i, W_i) per entry of ``in_channels``.

    The channels of levels below ``start_level``, which a neck does not use, are not checked.
    """
    if torch.jit.is_tracing():
        return
    channels = [x.shape[1] if x.dim() == 4 else None for x in maps]
    if len(channels) != len(in_channels) or channels[start_level:] != list(in_channels[start_level:]):
        raise ValueError(f'{type(layer).__name__}: expected {len(in_channels)} maps (B, C, H, W) with '
                         f'in_channels={list(in_channels)}, got shapes {[tuple(x.shape) for x in maps]}. Set '
                         'in_channels to the channels of the incoming maps.')


def check_pair(layer: nn.Module, low: Tensor, high: Tensor, channels: int | None = None,
               high_channels: int | None = None) -> None:
    """Check the shapes of a low-level (finer) map and the high-level (coarser) map above it."""
    if torch.jit.is_tracing():
        return
    check_map(layer, low, channels, 'low')
    check_map(layer, high, channels if high_channels is None else high_channels, 'high')
    if low.shape[0] != high.shape[0]:
        raise ValueError(f'{type(layer).__name__}: low and high must have the same batch size, got {low.shape[0]} and '
                         f'{high.shape[0]}. Pass maps of the same images.')
    if low.shape[2] < high.shape[2] or low.shape[3] < high.shape[3]:
        raise ValueError(f'{type(layer).__name__}: low must be at least as large as high, got sizes '
                         f'{tuple(low.shape[2:])} and {tuple(high.shape[2:])}. Pass the finer map first.')
