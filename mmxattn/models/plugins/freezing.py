"""Keep plugins trainable in frozen stages."""
import functools
from typing import Any

from mmengine.logging import print_log

from .plugin import Plugin

__all__ = ['keep_plugins_trainable']

_WRAPPED: set = set()  # methods that exempt plugins


def keep_plugins_trainable(backbone: type[Any]) -> None:
    """Exempt plugins from ``frozen_stages``, which is meant for pretrained weights.

    Otherwise a stock recipe with ``frozen_stages=1`` would keep the plugins of the first stage at their random
    initialization. Plugins with ``freezable=True`` are not exempt.

    Args:
        backbone: Class whose ``_freeze_stages`` is wrapped. Classes without this method and classes that are already
            wrapped are not changed.
    """
    freeze = getattr(backbone, '_freeze_stages', None)
    if freeze is None or freeze in _WRAPPED:
        return

    @functools.wraps(freeze)
    def _freeze_stages(self):
        plugins = [m for m in self.modules() if isinstance(m, Plugin) and not m.freezable]
        before = [(plugin, plugin.training, [p for p in plugin.parameters() if p.requires_grad]) for plugin in plugins]
        freeze(self)
        exempted = []
        for plugin, training, trainable in before:
            if not all(p.requires_grad for p in trainable):
                plugin.train(training)
                for p in trainable:
                    p.requires_grad = True
                exempted.append(type(plugin).__name__)
        if exempted and not getattr(self, '_logged_exempt_plugins', False):
            self._logged_exempt_plugins = True
            counts = ', '.join(f'{exempted.count(name)} {name}' for name in sorted(set(exempted)))
            print_log(f'frozen_stages={self.frozen_stages}: plugins in frozen stages stay trainable ({counts}). Set '
                      'freezable=True in their cfg to freeze them.', 'current')

    _WRAPPED.add(_freeze_stages)
    backbone._freeze_stages = _freeze_stages
