"""CFSAM as a neck that stands after any other."""
from collections.abc import Sequence

from mmcv.cnn import build_activation_layer, build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor

from ...layers import CFSAM
from ...registry import MODELS
from ...utils.validation import check_channels, check_levels

__all__ = ['CFSAMNeck']


@MODELS.register_module()
class CFSAMNeck(BaseModule):
    """Cross-layer feature self-attention over the maps of the neck before it.

    .. code-block:: python

        neck=[{{_base_.model.neck}}, dict(type='CFSAMNeck', in_channels=[256] * 5, tokens_per_part=1024)]

    A checkpoint of the recipe with the stock neck alone loads: its ``neck.`` keys become those of the first neck.

    Args:
        in_channels: channels of every input map, fine to coarse.
        levels: indices of the maps that take part; the others pass unchanged. All by default.
        channels, depth, num_heads, mlp_ratio, num_parts, tokens_per_part, stages, residual, zero_init: as in
            :class:`mmxattn.layers.CFSAM`. On a large pyramid give ``tokens_per_part`` (1024, say: SSD300 has 970),
            or the attention grows with the square of the image.
        norm_cfg, act_cfg: norm (None for none) and activation of the local convolutions.
        init_cfg: mmengine's initialisation.

    Raises:
        ValueError: ``levels`` that are not there, and as :class:`mmxattn.layers.CFSAM`.
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
        check_channels('CFSAMNeck', in_channels)
        levels = check_indices(levels, len(in_channels))
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

    def init_weights(self):
        """As ``init_cfg`` says; an identity start stays one."""
        super().init_weights()
        if self.zero_init:
            self.cfsam.zero_output()

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps -> maps of the same shapes."""
        check_levels(self, inputs, self.in_channels)
        outs = list(inputs)
        for i, x in zip(self.levels, self.cfsam([inputs[i] for i in self.levels])):
            outs[i] = x
        return tuple(outs)


def check_indices(levels: Sequence[int] | None, number: int) -> list[int]:
    """Indices of the maps that take part, or one error that names those which are not there."""
    if levels is None:
        return list(range(number))
    if not isinstance(levels, Sequence) or isinstance(levels, str):
        raise TypeError(f'CFSAMNeck: levels={levels!r} is no list; give indices below {number}, the number of '
                        'in_channels, as in [0, 1].')
    levels = list(levels)
    if not levels or any(i not in range(number) for i in levels) or len(set(levels)) != len(levels):
        raise ValueError(f'CFSAMNeck: levels={levels} must be different indices below {number}, the number of '
                         'in_channels, one at least.')
    return levels
