"""``plugins`` of mmdet's and mmseg's ResNet.

What these only assert is told with the value and the way out. And plugins that can work in place are built to do so: at
any of the three positions the map is the block's own, which goes by it no more.
"""
import functools
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from ...registry import MODELS

__all__ = ['check_plugins', 'check_type', 'prepare_plugins']

POSITIONS = ('after_conv1', 'after_conv2', 'after_conv3')
EXAMPLE = "plugins=[dict(cfg=dict(type='SCSA'), position='after_conv2')]"


def check_plugins(host: str, plugins: Sequence[dict], num_stages: int) -> None:
    """Raise one error where ``plugins`` are not what a ResNet takes.

    Args:
        host: name of the backbone, for messages.
        plugins: of its cfg.
        num_stages: of the backbone.
    """
    if not isinstance(plugins, (list, tuple)):
        raise TypeError(f'{host}: plugins={plugins!r} is no list; give a dict for each plugin, as in {EXAMPLE}.')
    for plugin in plugins:
        known = isinstance(plugin, dict) and {'cfg', 'position'} <= set(plugin) <= {'cfg', 'position', 'stages'}
        if not known or not isinstance(plugin['cfg'], dict):
            raise ValueError(f'{host}: {plugin!r} of plugins has to be a dict with cfg, position and, optionally, '
                             f'stages, as in {EXAMPLE}.')
        if plugin['position'] not in POSITIONS:
            raise ValueError(f'{host}: position={plugin["position"]!r} is none of {POSITIONS}; for another place take '
                             f"dict(type='WithPlugins', host='{host}', ...).")
        check_type(host, plugin['cfg'])
        stages = plugin.get('stages')
        if stages is not None and (not isinstance(stages, (list, tuple)) or len(stages) != num_stages):
            raise ValueError(f'{host}: stages={stages!r} has to be a list, True or False for each of the {num_stages} '
                             'stages.')


def check_type(host: str, cfg: dict) -> None:
    """Raise one error where a plugin's type is not registered; mmcv says "Cannot find None in registry" of it."""
    if class_of(cfg) is None:
        raise ValueError(f"{host}: type={cfg.get('type')!r} of a plugin is not registered; custom_imports = "
                         "dict(imports=['mmxattn']) registers SCSA and its baselines.")


def class_of(cfg: dict) -> type | None:
    """A plugin's class; None where nobody registered its type."""
    kind = cfg.get('type')
    if isinstance(kind, type):
        return kind
    with MODELS.switch_scope_and_registry(None) as registry:
        return registry.get(kind) if isinstance(kind, str) else None


def in_place(plugin: dict) -> dict:
    """An entry of ``plugins``, with ``inplace`` where its class takes that and nobody has said otherwise."""
    cfg = plugin['cfg']
    return dict(plugin, cfg=dict(inplace=True) | cfg) if getattr(class_of(cfg), 'takes_inplace', False) else plugin


def prepare_plugins(backbone: Any) -> None:
    """Let a toolbox's ResNet check its ``plugins``, and build them in place; it may be given again."""
    make = backbone.make_stage_plugins
    if getattr(make, 'prepares_plugins', False):
        return
    basic_block = import_module(backbone.__module__).BasicBlock

    @functools.wraps(make)
    def make_stage_plugins(self: Any, plugins: Sequence[dict], stage_idx: int) -> list[dict]:
        host = type(self).__name__
        check_plugins(host, plugins, self.num_stages)
        if issubclass(self.block, basic_block):
            raise ValueError(f'{host}: depth={self.depth} has BasicBlocks, which take no plugins; take '
                             f"dict(type='WithPlugins', host='{host}', ...), or a depth of 50 or more.")
        return [in_place(plugin) for plugin in make(self, plugins, stage_idx)]

    vars(make_stage_plugins)['prepares_plugins'] = True
    backbone.make_stage_plugins = make_stage_plugins
