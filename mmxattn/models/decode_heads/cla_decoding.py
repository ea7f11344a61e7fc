"""CLA's decoder for mmseg's decode heads."""
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from mmseg.models.utils import resize
from torch import Tensor

from ...layers import CLADecoder

__all__ = ['CLADecoding']


if TYPE_CHECKING:

    class StockHead:
        """Attributes that all decode heads share; mmseg has no annotations."""

        in_channels: Sequence[int]
        channels: int
        in_index: Sequence[int]
        align_corners: bool

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

        def init_weights(self) -> None: ...

        def _transform_inputs(self, inputs: Sequence[Tensor]) -> list[Tensor]: ...
else:
    StockHead = object


class CLADecoding(StockHead):
    """Mixin that adds :class:`mmxattn.layers.CLADecoder` to a decode head with several inputs.

    Args:
        *args: Arguments of the head.
        pairs: Levels (i, j) of each decoder block in order, as indices of the head's inputs; level i is finer than j.
            The last pair must contain level 0, which determines the size of the prediction.
        patch_size: Patch size d in pixels.
        normalisation: Scale correlations and products; False gives the form printed in the paper.
        combination: How to combine the output of CLA with that of a block, 'add' or 'cat'.
        zero_init: Start with a decoder output of zero.
        **kwargs: Arguments of the head.

    Raises:
        ValueError: If ``pairs`` do not match the levels or an option is unknown; in the first forward pass if there are
            too few maps.
    """

    interpolate_mode = 'bilinear'  # for heads without this argument

    def __init__(self,
                 *args: Any,
                 pairs: Sequence[tuple[int, int]] = ((1, 2), (0, 3)),
                 patch_size: int = 1,
                 normalisation: bool = True,
                 combination: str = 'add',
                 zero_init: bool = False,
                 **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.zero_init = zero_init
        interpolate = functools.partial(F.interpolate, mode=self.interpolate_mode, align_corners=self.align_corners)
        self.blocks = CLADecoder(self.in_channels, self.channels, pairs, patch_size, normalisation, combination,
                                 interpolate)
        if zero_init:
            self.blocks.zero_output()

    def init_weights(self) -> None:
        """Initialize as configured by ``init_cfg``, then apply ``zero_init`` again."""
        super().init_weights()
        if self.zero_init:
            self.blocks.zero_output()

    def resize(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """Resize a map as the stock head does."""
        return resize(x, size=size, mode=self.interpolate_mode, align_corners=self.align_corners)

    def select(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the maps at ``in_index``."""
        if len(inputs) <= max(self.in_index):
            raise ValueError(f'{type(self).__name__}: in_index={list(self.in_index)} requires {max(self.in_index) + 1} '
                             f'maps, got {len(inputs)}.')
        return self._transform_inputs(inputs)
