"""What a layer says of wrong arguments and of wrong maps: one error, which names the value and the way out.

A wrong type is a TypeError, a wrong value a ValueError. Of a map only its shape, type and device are looked at, never
what is in it: nothing waits for a GPU, and a compiler or an exporter sees constants.
"""
import math
import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .torch_compat import autocast_dtype

__all__ = ['check_channels', 'check_flags', 'check_levels', 'check_map', 'check_maps', 'check_number', 'check_odd',
           'check_option', 'check_pair', 'check_whole']


def check_whole(owner: str, least: int = 1, **numbers: Any) -> None:
    """Each of ``numbers`` is a whole number (and no bool), ``least`` or more."""
    for name, number in numbers.items():
        if isinstance(number, bool) or not hasattr(number, '__index__'):
            raise TypeError(f'{owner}: {name}={number!r} is no whole number; give one, {least} or more.')
        if operator.index(number) < least:
            raise ValueError(f'{owner}: {name}={number} must be at least {least}.')


def check_odd(owner: str, **numbers: Any) -> None:
    """Each of ``numbers`` is an odd whole number, so that padding by half of it keeps the size of a map."""
    check_whole(owner, **numbers)
    for name, number in numbers.items():
        if number % 2 == 0:
            raise ValueError(f'{owner}: {name}={number} must be odd, as {number - 1} and {number + 1} are.')


def check_number(owner: str, *, zero: bool = False, **numbers: Any) -> None:
    """Each of ``numbers`` is a finite number above 0; with ``zero`` that one too."""
    for name, number in numbers.items():
        if isinstance(number, bool) or not (hasattr(number, '__float__') or hasattr(number, '__index__')):
            raise TypeError(f'{owner}: {name}={number!r} is no number; give one above 0, such as 2.')
        if not math.isfinite(number) or number < 0 or not (number or zero):
            raise ValueError(f'{owner}: {name}={number} must be {"0, for none, or " if zero else ""}above 0.')


def check_flags(owner: str, **flags: Any) -> None:
    """Each of ``flags`` is True or False: any text, 'False' too, would count as True."""
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise TypeError(f'{owner}: {name}={flag!r} must be True or False.')


def check_option(owner: str, options: Sequence, **given: Any) -> None:
    """Each of ``given`` is one of ``options``."""
    options = tuple(options)
    for name, option in given.items():
        if option not in options:
            raise ValueError(f'{owner}: {name}={option!r} is none of {options}.')


def check_channels(owner: str, in_channels: Sequence[int], name: str = 'in_channels') -> None:
    """A list of whole numbers, one a level, at least one of them."""
    if isinstance(in_channels, str) or not isinstance(in_channels, Sequence):
        raise TypeError(f'{owner}: {name}={in_channels!r} is no list; give the channels of each level, as in '
                        f'[256, 256, 256].')
    if not in_channels:
        raise ValueError(f'{owner}: {name} is empty; give the channels of each level.')
    for i, channels in enumerate(in_channels):
        check_whole(owner, **{f'{name}[{i}]': channels})


def check_map(layer: nn.Module, x: Tensor, channels: int | None = None, name: str = 'map') -> None:
    """``x`` is a map (B, C, H, W) of floating-point numbers, of the type and on the device of the layer's parameters.

    Args:
        layer: whose name and parameters count. In autocast the types may differ.
        x: what it was given.
        channels: that it was built for; None where any will do.
        name: of the map, for the message.
    """
    owner = type(layer).__name__
    if torch.jit.is_tracing():
        return  # sizes are tensors then
    check_shape(owner, x, name)
    if channels is not None and x.shape[1] != channels:
        raise ValueError(f'{owner}: the {name} has {x.shape[1]} channels; it was built for {channels}: build it for '
                         f'{x.shape[1]}, or give another map.')
    check_numbers(layer, x, name)


def check_shape(owner: str, x: Tensor, name: str) -> None:
    """``x`` is a tensor (B, C, H, W) with pixels; the batch may be empty."""
    if not isinstance(x, Tensor):
        raise TypeError(f'{owner}: the {name} is a {type(x).__name__}; give a tensor (B, C, H, W).')
    if x.dim() != 4:
        raise ValueError(f'{owner}: the {name} has shape {tuple(x.shape)}; give (B, C, H, W), one image as x[None].')
    if x.shape[2] == 0 or x.shape[3] == 0:
        raise ValueError(f'{owner}: the {name} has shape {tuple(x.shape)}: no pixels; give 1 x 1 at least.')


def check_numbers(layer: nn.Module, x: Tensor, name: str) -> None:
    """``x`` holds floating-point numbers on the device and, outside of autocast, of the type of a parameter."""
    owner = type(layer).__name__
    if not x.dtype.is_floating_point:
        raise TypeError(f'{owner}: the {name} holds {x.dtype}; give real floating-point numbers, as x.float() are.')
    first = next(layer.parameters(), None)
    if first is None or first.device == x.device and first.dtype == x.dtype:
        return
    parameters = list(layer.parameters())  # some may be kept in another type
    if all(parameter.device != x.device for parameter in parameters):
        raise ValueError(f'{owner}: the {name} is on {x.device}, the parameters are on {first.device}; move either, '
                         f"as with layer.to('{x.device}').")
    if autocast_dtype(x.device.type) is None and all(parameter.dtype != x.dtype for parameter in parameters):
        raise TypeError(f'{owner}: the {name} holds {x.dtype}, the parameters are {first.dtype}; convert either, as '
                        f'with x.to({first.dtype}), or run it in torch.autocast.')


def check_list(owner: str, maps: Sequence[Tensor]) -> None:
    """``maps`` is a list or a tuple, not one tensor."""
    if isinstance(maps, Tensor) or not isinstance(maps, Sequence):
        raise TypeError(f'{owner}: the maps are a {type(maps).__name__}; give a list of tensors (B, C, H, W), one a '
                        'level.')


def check_maps(layer: nn.Module, maps: Sequence[Tensor], in_channels: Sequence[int]) -> None:
    """A list of maps of ``in_channels``, each as :func:`check_map` asks, of one batch."""
    owner = type(layer).__name__
    if torch.jit.is_tracing():
        return
    check_list(owner, maps)
    for i, x in enumerate(maps):
        check_shape(owner, x, f'map of level {i}')
    given = tuple(x.shape[1] for x in maps)
    if given != tuple(in_channels):
        raise ValueError(f'{owner}: got {len(given)} levels of channels {given}; in_channels={tuple(in_channels)} '
                         f'asks for {len(in_channels)}: give it those of the maps that come in.')
    for i, x in enumerate(maps):
        check_numbers(layer, x, f'map of level {i}')
    batches = [x.shape[0] for x in maps]
    if any(batch != batches[0] for batch in batches):
        raise ValueError(f'{owner}: the levels have batches of {batches}; give maps of the same images.')


def check_levels(layer: nn.Module, maps: Sequence[Tensor], in_channels: Sequence[int], first: int = 0) -> None:
    """What comes into a neck: a map for each of ``in_channels``, of so many channels, each as :func:`check_map` asks.

    Args:
        layer: the neck.
        maps: that it was given.
        in_channels: that it was built for.
        first: the first level that it uses.
    """
    owner = type(layer).__name__
    if torch.jit.is_tracing():
        return
    check_list(owner, maps)
    if len(maps) != len(in_channels):
        raise ValueError(f'{owner}: got {len(maps)} levels; in_channels={list(in_channels)} asks for '
                         f'{len(in_channels)}: give it the channels of the maps that come in, or put the neck behind '
                         'what makes such maps.')
    for i, x in enumerate(maps):
        check_shape(owner, x, f'map of level {i}')
    given = [x.shape[1] for x in maps]
    if given[first:] != list(in_channels[first:]):
        raise ValueError(f'{owner}: got levels of channels {tuple(given)}; it was built for in_channels='
                         f'{list(in_channels)}: give it the channels of the maps that come in, or put the neck behind '
                         'what makes such maps.')
    for i, x in enumerate(maps[first:], first):
        check_numbers(layer, x, f'map of level {i}')


def check_pair(layer: nn.Module, low: Tensor, high: Tensor, channels: int | None = None) -> None:
    """A low map and the high one above it, each as :func:`check_map` asks, of one batch, the finer one first.

    Args:
        layer: whose name and parameters count.
        low: (B, C, H, W).
        high: (B, C', H', W').
        channels: of both, where the layer was built for as many; None where any will do.
    """
    owner = type(layer).__name__
    if torch.jit.is_tracing():
        return
    for name, x in (('low map', low), ('high map', high)):
        check_map(layer, x, channels, name)
    if low.shape[0] != high.shape[0]:
        raise ValueError(f'{owner}: the low map has a batch of {low.shape[0]}, the high map of {high.shape[0]}; give '
                         'maps of the same images.')
    if low.shape[2] < high.shape[2] or low.shape[3] < high.shape[3]:
        raise ValueError(f'{owner}: the low map {tuple(low.shape[2:])} is smaller than the high map '
                         f'{tuple(high.shape[2:])}; give the finer level first.')
