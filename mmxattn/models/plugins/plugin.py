"""What every plugin of this package has beside its layer, whatever block it stands in."""
from typing import TYPE_CHECKING, Any

__all__ = ['Plugin']

if TYPE_CHECKING:
    from torch.nn import Module as Layer  # as the layer behind it is
else:
    Layer = object


class Plugin(Layer):
    """The side of an attention layer that a backbone sees: a base class to put before the layer's own.

    .. code-block:: python

        backbone=dict(plugins=[dict(cfg=dict(type='SCSA'), position='after_conv2')])

    A plugin keeps the shape of its map. ``position`` of the class is where SCSA's paper has it in a Bottleneck block,
    by the counts it prints; every plugin can stand at every position.

    Args:
        in_channels: channels of the block at the plugin's position; the host gives it.
        freezable: let the host's ``frozen_stages`` freeze this part too. Stock recipes freeze the first stage because
            its weights are pretrained; a new part's are not, so by default it goes on training there. True is for a
            backbone whose checkpoint holds the part's weights.
        **layer: the layer's own arguments, under their names.

    Raises:
        ValueError, ImportError: as the layer.
    """

    position = 'after_conv2'
    set_inside: tuple[str, ...] = ('channels', )  # given by its place, as in_channels
    takes_inplace = False  # whether the layer has that argument
    _abbr_: str  # its name in the block, and so in checkpoints

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        cls._abbr_ = cls.__name__.lower()

    def __init__(self, in_channels: int, freezable: bool = False, **layer: Any):
        super().__init__(in_channels, **layer)
        self.freezable = freezable

    def init_weights(self) -> None:
        """Undo what the host's ``init_cfg`` did: its rules for convolutions and norms are not meant for gates."""
        if hasattr(self, 'reset_parameters'):
            self.reset_parameters()
            return
        for module in self.modules():
            if hasattr(module, 'reset_parameters'):
                module.reset_parameters()
