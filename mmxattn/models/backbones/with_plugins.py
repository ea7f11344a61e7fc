"""Any backbone with plugins in its blocks, also one that takes none by itself."""
import contextlib
import difflib
import re
from collections.abc import Sequence
from typing import Any

from mmcv.cnn import ConvModule, build_plugin_layer
from torch import nn

from ... import patches as compat
from ...registry import MODELS
from ...utils.arguments import arguments_told
from ..plugins.resnet_plugins import check_type
from .plugin_hooks import PlacedPlugins, PluginHook

__all__ = ['WithPlugins']

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
NUMBER = r'\d+(?=\\)|(?<=\\\.)\d+$'  # of a stage or a block, in a name with its dots escaped
CHANNELS_OUT = ('out_channels', 'num_features', 'embed_dims', 'out_features')
CHANNELS_IN = ('in_channels', 'num_features', 'embed_dims', 'in_features')


@MODELS.register_module()
def WithPlugins(host: str | type, plugins: Sequence[dict] = None, **arguments: Any) -> nn.Module:
    """Build a stock backbone and put plugins into its blocks.

    mmdet's and mmseg's ResNet take plugins, in Bottleneck blocks; MobileNetV2, RepVGG, Swin, ResNet-18 and all of
    mmpretrain's backbones take none. What comes back is the stock backbone itself: its type, its methods and the keys
    of its checkpoint are as they were, and those of the plugins come in addition.

    .. code-block:: python

        backbone=dict(  # over a recipe whose backbone is mmpretrain's ResNet; its arguments stay as they are
            type='WithPlugins',
            host='ResNet',
            plugins=[dict(cfg=dict(type='SCSA'), before=r'layer\\d\\.\\d+\\.conv3')])

    Args:
        host: type of the backbone, as a config has it; with its toolbox ('mmdet.ResNet') where no scope is the default.
        plugins: a dict each, with ``cfg``, the plugin as mmdet's ResNet takes it (a ``postfix`` in it included), and
            either ``after`` or ``before``: a regular expression for the whole names of modules in the backbone. The
            plugin is applied to each one's output, or first input, every time that it is called. There this is a map
            (B, C, H, W), or tokens (B, H*W, C) where the module is called with their ``hw_shape`` (Swin's attention).
            The plugin gets the channels that the module has there, unless ``cfg`` has ``in_channels``.
        **arguments: of the host, passed on as they are.

    A plugin becomes a child of the block that holds the named module, under the name that mmdet's ResNet would give
    it: ``layer1.0.scsa``. A module that is itself one of a list of blocks holds its own. Plugins keep their start in
    ``init_weights``, and go on training in frozen stages unless they are ``freezable``.

    Raises:
        ValueError: an entry without ``cfg`` and one of ``after`` and ``before``, or with more; an expression that no
            module's name matches; a second plugin of one name in a block; channels that no attribute tells. At the
            first forward where neither a map nor tokens with their shape arrive.
    """
    if not isinstance(plugins, (list, tuple)) or any(not isinstance(plugin, dict) for plugin in plugins):
        raise TypeError(f'WithPlugins: plugins={plugins!r} is no list of dicts; give one for each plugin, as '
                        "[dict(cfg=dict(type='SCSA'), after='layer1')].")
    with MODELS.switch_scope_and_registry(None) as registry:
        kind = registry.get(host) if isinstance(host, str) else host
    with arguments_told(kind, (), arguments) if isinstance(kind, type) else contextlib.nullcontext():
        backbone = MODELS.build(dict(type=host, **arguments))
    modules = dict(backbone.named_modules())  # as they are without plugins, so that no expression matches inside one
    hooks = [hook for plugin in plugins for hook in place(backbone, modules, plugin)]
    PlacedPlugins(backbone, hooks)
    compat.keep_new_parts_training(type(backbone))
    if hasattr(backbone, '_freeze_stages'):
        backbone._freeze_stages()
    return backbone


def place(backbone: nn.Module, modules: dict[str, nn.Module], plugin: dict) -> list[PluginHook]:
    """Build one plugin for each module that the entry names, as a child of its block."""
    kind = type(backbone).__name__
    places = {side: plugin[side] for side in ('after', 'before') if plugin.get(side) is not None}
    if len(places) != 1 or not {'cfg'} <= set(plugin) <= {'cfg', 'after', 'before'}:
        raise ValueError(f'WithPlugins: {dict(plugin)} is to have cfg, either after or before, and nothing else.')
    [(side, pattern)] = places.items()
    if not isinstance(pattern, str) or not isinstance(plugin['cfg'], dict):
        raise TypeError(f'WithPlugins: {dict(plugin)} is to have a dict for cfg, and text, a regular expression, for '
                        f'{side}.')
    check_type('WithPlugins', plugin['cfg'])
    hooks = []
    for name in matches(kind, modules, pattern):
        owner = block_of(modules, name)
        cfg = dict(plugin['cfg'])
        postfix = cfg.pop('postfix', '')
        if 'in_channels' not in cfg:
            cfg['in_channels'] = channels(kind, modules, name, side == 'before')
        child, layer = build_plugin_layer(cfg, postfix)
        if hasattr(modules[owner], child):
            raise ValueError(f"WithPlugins: {owner or kind!r} has a {child!r} already, and r'{pattern}' asks for "
                             f'another one, at {name!r}; name one module a block, or give its cfg a postfix, as in '
                             "dict(type=..., postfix='_2').")
        modules[owner].add_module(child, layer)
        hooks.append(PluginHook(layer, backbone, name, side == 'before'))
    return hooks


def matches(kind: str, modules: dict[str, nn.Module], pattern: str) -> list[str]:
    """Names that ``pattern`` matches as a whole; where there is none, an error with the nearest ones."""
    try:
        names = [name for name in modules if name and re.fullmatch(pattern, name)]
    except re.error as error:
        raise ValueError(f"WithPlugins: r'{pattern}' is no regular expression: {error}.") from None
    if not names:
        known = dict.fromkeys(re.sub(NUMBER, r'\\d+', name.replace('.', r'\.')) for name in modules if name)
        near = ', '.join(f"r'{name}'" for name in difflib.get_close_matches(pattern, known, n=4, cutoff=0))
        raise ValueError(f"WithPlugins: r'{pattern}' is the whole name of no module of {kind}; near it are {near}.")
    return names


def block_of(modules: dict[str, nn.Module], name: str) -> str:
    """The nearest module around ``name`` that is no container; ``name`` itself if it is one of a list of blocks."""
    parent = name.rpartition('.')[0]
    composed = any(True for _ in modules[name].children()) and not isinstance(modules[name], (*CONTAINERS, ConvModule))
    if composed and isinstance(modules[parent], CONTAINERS):
        return name
    while parent and isinstance(modules[parent], CONTAINERS):
        parent = parent.rpartition('.')[0]
    return name if isinstance(modules[parent], CONTAINERS) else parent  # what a Sequential holds, it runs


def channels(kind: str, modules: dict[str, nn.Module], name: str, before: bool) -> int:
    """Channels that ``name`` takes or gives; without a number of its own (an activation) those that its block gives."""
    inside = list(modules[name].modules())
    found = channels_of(inside if before else [inside[0], *reversed(inside[1:])],
                        CHANNELS_IN if before else CHANNELS_OUT)
    if found is None:
        found = channels_of([modules[block_of(modules, name)]], CHANNELS_OUT)
    if found is None:
        raise ValueError(f'WithPlugins: {name!r} of {kind}, a {type(modules[name]).__name__}, does not tell how many '
                         'channels it has; give them in the cfg of the plugin: dict(type=..., in_channels=64).')
    return found


def channels_of(modules: Sequence[nn.Module], attributes: Sequence[str]) -> int | None:
    """The first whole number among ``attributes`` of ``modules``; None where there is none."""
    for module in modules:
        shape = getattr(module, 'normalized_shape', ())  # LayerNorm's
        for value in (*(getattr(module, attribute, None) for attribute in attributes), *shape[-1:]):
            if isinstance(value, int):
                return value
    return None
