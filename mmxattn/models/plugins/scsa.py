"""SCSA as a plugin of mmdet's and mmseg's ResNet."""
from ... import layers
from ...registry import MODELS

__all__ = ['SCSA']


@MODELS.register_module()
class SCSA(layers.SCSA):
    """:class:`mmxattn.layers.SCSA` in a Bottleneck block, as the paper places it: after the 3x3 convolution.

    .. code-block:: python

        backbone=dict(plugins=[dict(cfg=dict(type='SCSA'), position='after_conv2')])

    Args:
        in_channels: channels of the block at that position; the host gives it.
        freezable: let the host's ``frozen_stages`` freeze this part too. Stock recipes freeze the first stage because
            its weights are pretrained; SCSA's are not, so by default it goes on training there. True is for a
            backbone whose checkpoint holds SCSA's weights.
        kernel_sizes, window_size, zero_init: as in :class:`mmxattn.layers.SCSA`.

    Raises:
        ValueError: as :class:`mmxattn.layers.SCSA`.
    """

    _abbr_ = 'scsa'

    def __init__(self, in_channels, freezable=False, kernel_sizes=(3, 5, 7, 9), window_size=7, zero_init=False):
        super().__init__(in_channels, kernel_sizes, window_size, zero_init)
        self.freezable = freezable

    def init_weights(self):
        """Undo what the host's ``init_cfg`` did: its rules for convolutions and norms are not meant for gates."""
        self.reset_parameters()
