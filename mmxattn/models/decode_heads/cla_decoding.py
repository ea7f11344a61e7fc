"""What mmseg's decode heads with CLA's decoder have in common."""
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmseg.models.utils import resize
from torch import Tensor

from ...layers import CLADecoder
from ...ops.resampling import resample
from ...utils.validation import check_flags
from ..stock_rules import stock_rules

__all__ = ['CLADecoding']


class MissingLevelError(ValueError, IndexError):
    """Fewer maps than ``in_index`` asks for. Stock heads end in an IndexError, which callers may go on catching."""


if TYPE_CHECKING:

    class StockHead:
        """What every decode head has; mmseg has no types."""

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
    """To be inherited before a decode head with several inputs: gives it :class:`mmxattn.layers.CLADecoder`.

    Args:
        *args, **kwargs: the head's own, passed on as they are.
        pairs: levels (i, j) of each decoder block in order, indices into the head's inputs, i finer than j. The last
            pair must hold level 0, at whose size the head predicts.
        patch_size, normalisation, combination: as in :class:`mmxattn.layers.CLADecoder`.
        zero_init: start with an output of the decoder that is zero.

    Raises:
        ValueError: pairs that do not fit the levels, an unknown option; at the first forward too few maps, or maps of
            wrong sizes.
    """

    interpolate_mode = 'bilinear'  # of heads that take no argument for it

    def __init__(self,
                 *args: Any,
                 pairs: Sequence[tuple[int, int]] = ((1, 2), (0, 3)),
                 patch_size: int = 1,
                 normalisation: bool = True,
                 combination: str = 'add',
                 zero_init: bool = False,
                 **kwargs: Any):
        with stock_rules(type(self).__name__, args, kwargs):
            super().__init__(*args, **kwargs)
        check_flags(type(self).__name__, zero_init=zero_init)
        self.zero_init = zero_init
        resampled = functools.partial(resample, mode=self.interpolate_mode, align_corners=self.align_corners)
        self.blocks = CLADecoder(self.in_channels, self.channels, pairs, patch_size, normalisation, combination,
                                 resampled)
        if zero_init:
            self.blocks.zero_output()

    def init_weights(self):
        """As ``init_cfg`` says; an identity start stays one."""
        super().init_weights()
        if self.zero_init:
            self.blocks.zero_output()

    def resize(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """Resample a map as the stock head does, to the bit."""
        return resize(x, size=size, mode=self.interpolate_mode, align_corners=self.align_corners)

    def select(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The maps that ``in_index`` names."""
        if len(inputs) <= max(self.in_index):
            raise MissingLevelError(f'{type(self).__name__}: got {len(inputs)} levels; in_index={list(self.in_index)} '
                                    f'asks for {max(self.in_index) + 1}: name levels that there are.')
        return self._transform_inputs(inputs)
