"""Base class of the plugins for backbone blocks."""
from typing import TYPE_CHECKING, Any

__all__ = ['Plugin']

if TYPE_CHECKING:
    from torch.nn import Module as Layer  # the layer that a subclass inherits next
else:
    Layer = object


class Plugin(Layer):
    """Mixin that turns an attention layer into a plugin: ``class SE(Plugin, layers.SE)``.

    .. code-block:: python

        backbone=dict(plugins=[dict(cfg=dict(type='SCSA'), position='after_conv2')])

    Plugins keep the shape of their input and work at every position. The class attribute ``position`` is the position
    in a Bottleneck block that reproduces the counts in SCSA's paper.

    Args:
        in_channels: Channels at the plugin's position; set by the backbone.
        freezable: Let ``frozen_stages`` freeze the plugin. Off by default since a new plugin has no pretrained
            weights. Turn it on if the backbone's checkpoint contains the plugin's weights.
        **kwargs: Arguments of the layer.
    """

    position = 'after_conv2'
    _abbr_: str  # name of the plugin in a block, used by mmcv

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        cls._abbr_ = cls.__name__.lower()

    def __init__(self, in_channels: int, freezable: bool = False, **kwargs: Any):
        super().__init__(in_channels, **kwargs)
        self.freezable = freezable

    def init_weights(self) -> None:
        """Re-initialize the plugin, because the rules in the host's ``init_cfg`` are not suitable for gates."""
        if hasattr(self, 'reset_parameters'):
            self.reset_parameters()
            return
        for module in self.modules():
            if hasattr(module, 'reset_parameters'):
                module.reset_parameters()
