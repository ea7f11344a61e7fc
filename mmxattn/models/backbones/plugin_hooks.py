"""Forward hooks that run plugins in a backbone without plugin support."""
from collections.abc import Sequence
from typing import Any

from mmengine.model import update_init_info
from torch import Tensor, nn

from ...utils.memory_format import to_map, to_tokens

__all__ = ['PluginHook', 'PluginHooks']


class PluginHook:
    """Forward hook that applies a plugin to the output, or the first input, of a module.

    This is a class rather than a closure, so that the hook of a copied or pickled model refers to the copied plugin.

    Args:
        plugin: Module that keeps the shape of a map (B, C, H, W).
        backbone: Backbone with the hooked module.
        name: Name of the hooked module in the backbone.
        before: Apply the plugin to the first input instead of the output.
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
        """Register the hook unless the module, or a module inside it (if it is now a wrapper), already has it."""
        module = self.parent._modules.get(self.child)
        if module is self.module:
            return
        if module is None:
            raise ValueError(f'WithPlugins: {type(self.plugin).__name__} is attached to {self.name!r}, which no longer '
                             'exists. Use another module in after or before.')
        if not any(self in self.hooks_of(child).values() for child in module.modules()):
            register = module.register_forward_pre_hook if self.before else module.register_forward_hook
            register(self, with_kwargs=True)
        self.module = module

    def hooks_of(self, module: nn.Module) -> dict:
        """Return the module's hooks of this kind."""
        return module._forward_pre_hooks if self.before else module._forward_hooks

    def __call__(self, module: nn.Module, args: tuple, kwargs: dict, output: Tensor | None = None) -> Any:
        if self.before:
            return (self.apply(args[0], args, kwargs), *args[1:]), kwargs
        return self.apply(output, args, kwargs)

    def apply(self, x: Any, args: tuple, kwargs: dict) -> Tensor:
        """Apply the plugin to a map, or to tokens (B, H*W, C) reshaped to a map."""
        dim = x.dim() if isinstance(x, Tensor) else None
        if dim == 4:
            return self.plugin(x)
        shape = kwargs.get('hw_shape', args[1] if len(args) > 1 else None)
        if dim != 3 or not isinstance(shape, Sequence) or len(shape) != 2 or shape[0] * shape[1] != x.shape[1]:
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f'WithPlugins: {self.name!r} must pass a map (B, C, H, W), or tokens (B, H*W, C) together '
                             f'with hw_shape, got {got} and hw_shape={shape}.')
        return to_tokens(self.plugin(to_map(x, shape)))


class PluginHooks(nn.Module):
    """Child of a backbone that maintains the hooks of its plugins. It has no parameters.

    * Initialization: plugins are re-initialized after the rules of ``init_cfg``, which are meant for the backbone's own
      layers, have been applied. mmengine calls :meth:`init_weights` at that point, before it loads a checkpoint.
    * Module replacement: SyncBN conversion and BN folding replace modules and lose their hooks. The hooks are
      re-registered before the next forward pass.

    Args:
        backbone: Backbone; becomes the parent of this module, and its ``init_weights`` is replaced.
        hooks: Hooks of all plugins.
    """

    def __init__(self, backbone: nn.Module, hooks: Sequence[PluginHook]):
        super().__init__()
        host: Any = backbone
        self.host = (host, )  # in a tuple to keep it from being registered as a child
        self.hooks = tuple(hooks)
        backbone.plugin_hooks = self
        host.init_weights = self.init_host
        backbone.register_forward_pre_hook(self.attach)

    def attach(self, backbone: nn.Module, args: tuple) -> None:
        """Re-register the hooks of replaced modules."""
        for hook in self.hooks:
            hook.attach()

    def forward(self, x: Tensor) -> Tensor:
        """Return the input unchanged. Backbones that inherit from Sequential call all their children."""
        return x

    def init_weights(self) -> None:
        """Re-initialize the plugins."""
        for hook in self.hooks:
            if not hasattr(hook.plugin, 'init_weights'):
                continue
            hook.plugin.init_weights()
            if hasattr(hook.plugin, '_params_init_info'):  # mmengine's log of initializations
                update_init_info(hook.plugin, f'Initialized by `init_weights` of {type(hook.plugin).__name__} ')

    def init_host(self) -> None:
        """Run the backbone's ``init_weights``, then that of the plugins, which some backbones (Swin) do not call."""
        [host] = self.host
        is_init = getattr(host, 'is_init', False)
        if hasattr(type(host), 'init_weights'):
            type(host).init_weights(host)
        if not is_init and not getattr(host, 'init_cfg', None):
            self.init_weights()
