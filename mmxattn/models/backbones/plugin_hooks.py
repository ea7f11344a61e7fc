"""Plugins in a backbone that knows nothing of them: what applies them, and what keeps them in place."""
from collections.abc import Sequence
from typing import Any

from mmengine.model import update_init_info
from torch import Tensor, nn

from ...utils.memory_format import to_map, to_tokens

__all__ = ['PlacedPlugins', 'PluginHook']


class PluginHook:
    """Applies a plugin to what a module takes or gives.

    An instance and no closure, so that a copy or a pickle of the model holds a hook with the copy of the plugin.

    Args:
        plugin: from a map (B, C, H, W) to one of the same shape.
        backbone: that holds the module.
        name: of the module in the backbone.
        before: apply it to the module's first input; by default to its output.
    """

    def __init__(self, plugin: nn.Module, backbone: nn.Module, name: str, before: bool = False):
        self.plugin = plugin
        self.name = name
        self.before = before
        parent, _, self.child = name.rpartition('.')
        self.parent = backbone.get_submodule(parent)
        self.module: nn.Module | None = None
        self.attach()

    def attach(self) -> None:
        """Hang this on the module of that name, unless it hangs there or on one inside it (the name is a wrapper's)."""
        module = self.parent._modules.get(self.child)
        if module is self.module:
            return
        if module is None:
            raise ValueError(f'WithPlugins: {self.name!r} is gone, and with it the place of '
                             f'{type(self.plugin).__name__}; name another module in after or before.')
        if not any(self in self.hooks_of(inside).values() for inside in module.modules()):
            hang = module.register_forward_pre_hook if self.before else module.register_forward_hook
            hang(self, with_kwargs=True)
        self.module = module

    def hooks_of(self, module: nn.Module) -> dict:
        """The hooks of a module among which this one would be."""
        return module._forward_pre_hooks if self.before else module._forward_hooks

    def __call__(self, module: nn.Module, args: tuple, kwargs: dict, output: Tensor | None = None) -> Any:
        if self.before:
            return (self.apply(args[0], args, kwargs), *args[1:]), kwargs
        return self.apply(output, args, kwargs)

    def apply(self, x: Any, args: tuple, kwargs: dict) -> Tensor:
        """A map as it is; tokens (B, H*W, C) as the map they stand for."""
        dim = x.dim() if isinstance(x, Tensor) else None
        if dim == 4:
            return self.plugin(x)
        shape = kwargs.get('hw_shape', args[1] if len(args) > 1 else None)
        if dim != 3 or not isinstance(shape, Sequence) or len(shape) != 2 or shape[0] * shape[1] != x.shape[1]:
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f'WithPlugins: {self.name!r} has {got} and hw_shape={shape}; a plugin needs a map '
                             '(B, C, H, W), or tokens (B, H*W, C) of a module that is called with their hw_shape.')
        return to_tokens(self.plugin(to_map(x, shape)))


class PlacedPlugins(nn.Module):
    """The plugins of a backbone, as a child without parameters that sees to what the backbone does not.

    * Initialisation: rules for the host's convolutions and norms are not meant for plugins, which keep their own start.
      mmengine calls :meth:`init_weights` after those rules and before a checkpoint is loaded.
    * Conversions that put another module in the place of one with a hook (SyncBN, BN folded into a convolution) lose
      the hook. Before each forward it is hung up again.

    Args:
        backbone: the host; its ``init_weights`` is replaced, and it becomes this module's parent.
        hooks: one for each plugin.
    """

    def __init__(self, backbone: nn.Module, hooks: Sequence[PluginHook]):
        super().__init__()
        host: Any = backbone
        self.host = (host, )  # in a tuple, for it is no child
        self.hooks = tuple(hooks)
        backbone.placed_plugins = self
        host.init_weights = self.init_host
        backbone.register_forward_pre_hook(self.attach)

    def attach(self, backbone: nn.Module, args: tuple) -> None:
        """Hang up every hook whose module is another one now."""
        for hook in self.hooks:
            hook.attach()

    def forward(self, x: Tensor) -> Tensor:
        """The identity, for a backbone that is a Sequential and runs its children."""
        return x

    def init_weights(self) -> None:
        """Undo what the rules of the host, or of the model around it, did to the plugins."""
        for hook in self.hooks:
            if not hasattr(hook.plugin, 'init_weights'):
                continue
            hook.plugin.init_weights()
            if hasattr(hook.plugin, '_params_init_info'):  # what mmengine logs of each parameter
                update_init_info(hook.plugin, f'Initialized by `init_weights` of {type(hook.plugin).__name__} ')

    def init_host(self) -> None:
        """The host's own ``init_weights``. Some (Swin) draw all weights where none are loaded, and ask no child."""
        [host] = self.host
        done = getattr(host, 'is_init', False)  # mmengine initialises once
        if hasattr(type(host), 'init_weights'):
            type(host).init_weights(host)
        if not done and not getattr(host, 'init_cfg', None):
            self.init_weights()
