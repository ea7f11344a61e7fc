"""Builder that inserts plugins into the blocks of any backbone."""
import difflib
import re
from collections.abc import Sequence
from typing import Any

from mmcv.cnn import ConvModule, build_plugin_layer
from torch import nn

from ...registry import MODELS
from ..plugins.freezing import keep_plugins_trainable
from .plugin_hooks import PluginHook, PluginHooks

__all__ = ['WithPlugins']

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
NUMBER = r'\d+(?=\\)|(?<=\\\.)\d+$'  # index of a stage or block in an escaped module name
CHANNELS_OUT = ('out_channels', 'num_features', 'embed_dims', 'out_features')
CHANNELS_IN = ('in_channels', 'num_features', 'embed_dims', 'in_features')


@MODELS.register_module()
def WithPlugins(host: str | type, plugins: Sequence[dict], **kwargs: Any) -> nn.Module:
    """Build a stock backbone and insert plugins into its blocks.

    For backbones without plugin support: MobileNetV2, RepVGG, Swin, ResNet-18 and all backbones of mmpretrain. The
    result is the stock backbone; its type, methods and checkpoint keys do not change, and the plugins' keys are added.

    .. code-block:: python

        backbone=dict(  # for mmpretrain's ResNet; keep its other arguments
            type='WithPlugins',
            host='ResNet',
            plugins=[dict(cfg=dict(type='SCSA'), before=r'layer\\d\\.\\d+\\.conv3')])

    A plugin becomes a child of the block that contains the matched module, with the name that mmdet's ResNet would
    use: ``layer1.0.scsa``. If the matched module is itself an element of a list of blocks, the plugin becomes a child
    of the matched module. Plugins keep their own initialization in ``init_weights``, and they stay trainable in frozen
    stages unless they are configured with ``freezable=True``.

    Args:
        host: Type of the backbone, with its scope ('mmdet.ResNet') if there is no default scope.
        plugins: A dict per plugin with ``cfg``, its config as in mmdet's ResNet (including ``postfix``), and either
            ``after`` or ``before``: a regular expression for full module names of the backbone. The plugin is applied
            to the output, or first input, of each matched module, which must be a map (B, C, H, W), or tokens
            (B, H*W, C) if the module is called with ``hw_shape`` (Swin's attention). ``in_channels`` of ``cfg``
            defaults to the module's channels.
        **kwargs: Arguments of the backbone.

    Returns:
        The backbone with its plugins.

    Raises:
        ValueError: If an entry of ``plugins`` is malformed, an expression matches no module, a block would get two
            plugins of the same name, or the channels are unknown; in the first forward pass if a matched module passes
            neither a map nor tokens with their shape.
    """
    backbone = MODELS.build(dict(type=host, **kwargs))
    modules = dict(backbone.named_modules())  # before plugins are inserted, so that no expression matches inside one
    hooks = [hook for plugin in plugins for hook in insert(backbone, modules, plugin)]
    PluginHooks(backbone, hooks)
    keep_plugins_trainable(type(backbone))
    if hasattr(backbone, '_freeze_stages'):
        backbone._freeze_stages()
    return backbone


def insert(backbone: nn.Module, modules: dict[str, nn.Module], plugin: dict) -> list[PluginHook]:
    """Build one plugin for each matched module and add it to the module's block."""
    host = type(backbone).__name__
    positions = {side: plugin[side] for side in ('after', 'before') if plugin.get(side) is not None}
    if len(positions) != 1 or not {'cfg'} <= set(plugin) <= {'cfg', 'after', 'before'}:
        raise ValueError(f'WithPlugins: plugins must be dicts with cfg and either after or before, got {dict(plugin)}.')
    [(side, pattern)] = positions.items()
    hooks = []
    for name in find_modules(host, modules, pattern):
        block = block_of(modules, name)
        cfg = dict(plugin['cfg'])
        postfix = cfg.pop('postfix', '')
        if 'in_channels' not in cfg:
            cfg['in_channels'] = channels_at(host, modules, name, side == 'before')
        child, layer = build_plugin_layer(cfg, postfix)
        if hasattr(modules[block], child):
            raise ValueError(f"WithPlugins: r'{pattern}' matches {name!r}, but {block or host!r} already has a plugin "
                             f"{child!r}. Match one module per block, or set a postfix: dict(type=..., postfix='_2').")
        modules[block].add_module(child, layer)
        hooks.append(PluginHook(layer, backbone, name, side == 'before'))
    return hooks


def find_modules(host: str, modules: dict[str, nn.Module], pattern: str) -> list[str]:
    """Return the module names that ``pattern`` matches in full, or raise an error with similar names."""
    try:
        names = [name for name in modules if name and re.fullmatch(pattern, name)]
    except re.error as error:
        raise ValueError(f"WithPlugins: r'{pattern}' is not a valid regular expression: {error}.") from None
    if not names:
        known = dict.fromkeys(re.sub(NUMBER, r'\\d+', name.replace('.', r'\.')) for name in modules if name)
        similar = ', '.join(f"r'{name}'" for name in difflib.get_close_matches(pattern, known, n=4, cutoff=0))
        raise ValueError(f"WithPlugins: r'{pattern}' matches no full module name of {host}. Similar names: {similar}.")
    return names


def block_of(modules: dict[str, nn.Module], name: str) -> str:
    """Return the closest parent of ``name`` that is not a container, or ``name`` if it is an element of a list."""
    parent = name.rpartition('.')[0]
    composed = any(True for _ in modules[name].children()) and not isinstance(modules[name], (*CONTAINERS, ConvModule))
    if composed and isinstance(modules[parent], CONTAINERS):
        return name
    while parent and isinstance(modules[parent], CONTAINERS):
        parent = parent.rpartition('.')[0]
    return name if isinstance(modules[parent], CONTAINERS) else parent  # a Sequential would run the plugin itself


def channels_at(host: str, modules: dict[str, nn.Module], name: str, before: bool) -> int:
    """Return the input or output channels of a module, or those of its block if it has none (an activation)."""
    inner = list(modules[name].modules())
    found = channels_of(inner if before else [inner[0], *reversed(inner[1:])], CHANNELS_IN if before else CHANNELS_OUT)
    if found is None:
        found = channels_of([modules[block_of(modules, name)]], CHANNELS_OUT)
    if found is None:
        raise ValueError(f'WithPlugins: the channels of {name!r} ({type(modules[name]).__name__}) in {host} are '
                         'unknown. Set them in cfg: dict(type=..., in_channels=64).')
    return found


def channels_of(modules: Sequence[nn.Module], attributes: Sequence[str]) -> int | None:
    """Return the first integer among ``attributes`` of ``modules``, or None if there is none."""
    for module in modules:
        shape = getattr(module, 'normalized_shape', ())  # of a LayerNorm
        for value in (*(getattr(module, attribute, None) for attribute in attributes), *shape[-1:]):
            if isinstance(value, int):
                return value
    return None
