"""CFSAM as a neck that follows another neck."""
from collections.abc import Sequence

from mmcv.cnn import build_activation_layer, build_norm_layer
from torch import Tensor

from ...layers import CFSAM
from ...registry import MODELS
from ...utils.validation import check_maps
from .second_neck import SecondNeck

__all__ = ['CFSAMNeck']


@MODELS.register_module()
class CFSAMNeck(SecondNeck):
    """Cross-layer feature self-attention over the maps of the preceding neck.

    .. code-block:: python

        neck=[{{_base_.model.neck}}, dict(type='CFSAMNeck', in_channels=[256] * 5, tokens_per_part=1024)]

    Args:
        in_channels: Channels of each input map, fine to coarse.
        levels: Indices of the maps to attend over; the others are returned unchanged. All by default.
        channels: Channels of the tokens.
        depth: Number of Transformer blocks.
        num_heads: Number of attention heads.
        mlp_ratio: Ratio of the hidden channels of the MLPs to ``channels``.
        num_parts: Number of parts of the token sequence.
        tokens_per_part: Maximum number of tokens in a part. Set it for large pyramids (to 1024, for example; SSD300 has
            970); otherwise, the cost of attention grows quadratically with the image area.
        norm_cfg: Norm of the local convolutions; None for no norm.
        act_cfg: Activation of the local convolutions.
        stages: Stages to apply, see :class:`mmxattn.layers.CFSAM`.
        residual: Add the input maps to the outputs.
        zero_init: Start as the identity; requires ``residual``.
        init_cfg: Initialization config of mmengine.

    Raises:
        ValueError: If ``levels`` are not distinct indices of ``in_channels`` or an argument is invalid for CFSAM.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 levels: Sequence[int] | None = None,
                 channels: int = 256,
                 depth: int = 3,
                 num_heads: int = 4,
                 mlp_ratio: float = 2,
                 num_parts: int = 2,
                 tokens_per_part: int | None = None,
                 norm_cfg: dict | None = dict(type='BN'),
                 act_cfg: dict = dict(type='SiLU'),
                 stages: str = 'all',
                 residual: bool = False,
                 zero_init: bool = False,
                 init_cfg: dict | None = None):
        super().__init__(init_cfg)
        levels = list(range(len(in_channels)) if levels is None else levels)
        if not levels or len(set(levels)) != len(levels) or not set(levels) <= set(range(len(in_channels))):
            raise ValueError(f'CFSAMNeck: levels must be distinct indices below {len(in_channels)}, the number of '
                             f'in_channels, got {levels}.')
        self.in_channels = list(in_channels)
        self.levels = levels
        self.zero_init = zero_init
        self.cfsam = CFSAM(
            [in_channels[i] for i in levels],
            channels=channels,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            num_parts=num_parts,
            tokens_per_part=tokens_per_part,
            norm=None if norm_cfg is None else lambda c: build_norm_layer(norm_cfg, c)[1],
            act=lambda: build_activation_layer(act_cfg),
            stages=stages,
            residual=residual,
            zero_init=zero_init)

    def init_weights(self) -> None:
        """Initialize as configured by ``init_cfg``, then apply ``zero_init`` again."""
        super().init_weights()
        if self.zero_init:
            self.cfsam.zero_output()

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return maps of the same shapes."""
        check_maps(self, inputs, self.in_channels)
        outs = list(inputs)
        for i, x in zip(self.levels, self.cfsam([inputs[i] for i in self.levels])):
            outs[i] = x
        return tuple(outs)
