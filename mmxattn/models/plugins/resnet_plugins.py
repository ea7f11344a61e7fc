"""Adapt the ``plugins`` argument of mmdet's and mmseg's ResNet."""
import functools
from importlib import import_module
from typing import Any

from ...utils.toolboxes import installed
from .freezing import keep_plugins_trainable

__all__ = ['adapt_resnet']


def adapt_resnet(resnet: type[Any]) -> None:
    """Keep plugins of a ResNet trainable, and suggest an alternative if its blocks do not support plugins.

    The stock error for a BasicBlock is "AssertionError: Not implemented yet.".

    Args:
        resnet: The ResNet class of mmdet or mmseg.
    """
    keep_plugins_trainable(resnet)
    make_stage_plugins = resnet.make_stage_plugins
    basic_block = import_module(resnet.__module__).BasicBlock

    @functools.wraps(make_stage_plugins)
    def checked_make_stage_plugins(self: Any, plugins: list[dict], stage_idx: int) -> list[dict]:
        if issubclass(self.block, basic_block):
            name = type(self).__name__
            raise ValueError(f'{name}: plugins require Bottleneck blocks (depth 50 or more), got depth={self.depth}. '
                             f"Use dict(type='WithPlugins', host='{name}', ...) for BasicBlocks.")
        return make_stage_plugins(self, plugins, stage_idx)

    resnet.make_stage_plugins = checked_make_stage_plugins


if installed('mmdet'):
    from mmdet.models.backbones import ResNet as DetResNet
    adapt_resnet(DetResNet)
if installed('mmseg'):
    from mmseg.models.backbones import ResNet as SegResNet
    adapt_resnet(SegResNet)
