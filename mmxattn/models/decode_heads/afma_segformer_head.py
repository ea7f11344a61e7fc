"""SegFormer's decode head with across feature map attention, which CLA descends from."""
from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.decode_heads import SegformerHead
from mmseg.models.utils import resize
from torch import Tensor

from ...layers.baselines import AFMA
from ...registry import MODELS
from ..stock_rules import stock_rules

__all__ = ['AFMASegformerHead']


@MODELS.register_module()
class AFMASegformerHead(SegformerHead):
    """SegFormer's head whose masks are corrected by AFMA between the image and the coarsest map.

    Needs :class:`mmxattn.models.ImageEncoderDecoder`, which hands it the image. Predicts at the image's size, to which
    the stock head's masks are resampled first. Takes all arguments of :class:`mmseg.models.SegformerHead`; its
    checkpoints load, and what is missing are the keys of ``afma``.

    .. code-block:: python

        model = dict(type='ImageEncoderDecoder', decode_head=dict(type='AFMASegformerHead'))  # over a SegFormer recipe

    Args:
        patch_size: patches d of :class:`mmxattn.layers.baselines.AFMA`, in pixels.
        afma_weight: weight of the loss that holds the attention to the true masks'.
        zero_init: start as the stock head.
        **kwargs: SegformerHead's own, passed on as they are.

    Raises:
        ValueError: another number of outputs than classes, a patch smaller than 1; at the first forward no image behind
            the maps.
    """

    def __init__(self, patch_size: int = 1, afma_weight: float = 1.0, zero_init: bool = False, **kwargs: Any):
        with stock_rules('AFMASegformerHead', (), kwargs):
            super().__init__(**kwargs)
        if self.out_channels != self.num_classes:
            raise ValueError(f'AFMASegformerHead: out_channels={self.out_channels} for num_classes={self.num_classes}; '
                             'AFMA needs one mask a class: leave out_channels away.')
        self.afma_weight = afma_weight
        self.zero_init = zero_init
        self.afma = AFMA(self.in_channels[-1], self.num_classes, patch_size, zero_init=zero_init)

    def init_weights(self):
        """As ``init_cfg`` says; an identity start stays one."""
        super().init_weights()
        if self.zero_init:
            self.afma.zero_output()

    def attend(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Maps and the image -> corrected masks (B, num_classes, H, W), and AFMA's two class maps."""
        *maps, image = inputs
        if len(maps) <= max(self.in_index):
            raise ValueError(f'AFMASegformerHead: got {len(maps)} maps and the image behind them; in_index='
                             f"{list(self.in_index)} asks for {max(self.in_index) + 1}. The segmentor has to be of "
                             "type='ImageEncoderDecoder'.")
        class_maps = self.afma.encode(image, maps[self.in_index[-1]])
        masks = resize(super().forward(maps), image.shape[2:], mode='bilinear', align_corners=self.align_corners)
        return self.afma.modify(masks, *class_maps), *class_maps

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Maps of the backbone, fine to coarse, and the image (B, 3, H, W) -> logits (B, num_classes, H, W)."""
        return self.attend(inputs)[0]

    def loss(self, inputs: Sequence[Tensor], batch_data_samples: list, train_cfg: dict) -> dict[str, Tensor]:
        """The stock losses of the corrected masks, and ``loss_afma``."""
        logits, image_classes, map_classes = self.attend(inputs)
        losses = self.loss_by_feat(logits, batch_data_samples)
        losses['loss_afma'] = self.afma_weight * self.afma.loss(image_classes, map_classes,
                                                                self.gold(batch_data_samples))
        return losses

    def gold(self, batch_data_samples: list) -> Tensor:
        """The true masks, one-hot: (B, num_classes, H, W), nothing where the label is none of the classes."""
        labels = self._stack_batch_gt(batch_data_samples)  # (B, 1, H, W)
        classes = torch.arange(self.num_classes, device=labels.device).view(1, -1, 1, 1)
        return (labels == classes).float()
