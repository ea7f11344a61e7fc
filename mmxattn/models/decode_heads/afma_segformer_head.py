"""SegFormer's decode head with across feature map attention, the predecessor of CLA."""
from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.decode_heads import SegformerHead
from mmseg.models.utils import resize
from torch import Tensor

from ...layers.baselines import AFMA
from ...registry import MODELS

__all__ = ['AFMASegformerHead']


@MODELS.register_module()
class AFMASegformerHead(SegformerHead):
    """SegFormer's head with masks that are corrected by AFMA between the image and the coarsest map.

    Requires :class:`mmxattn.models.ImageEncoderDecoder`, which appends the image to the maps. Predictions have the size
    of the image. Checkpoints of :class:`mmseg.models.SegformerHead` can be loaded; only the keys of ``afma`` are
    missing.

    .. code-block:: python

        model = dict(type='ImageEncoderDecoder', decode_head=dict(type='AFMASegformerHead'))  # in a SegFormer recipe

    Args:
        patch_size: Patch size d of :class:`mmxattn.layers.baselines.AFMA`, in pixels.
        afma_weight: Weight of the loss between the attention and the attention of the ground-truth masks.
        zero_init: Start as the stock head.
        **kwargs: Arguments of :class:`mmseg.models.SegformerHead`.

    Raises:
        ValueError: If ``out_channels`` differs from ``num_classes``; in the first forward pass if the image is missing.
    """

    def __init__(self, patch_size: int = 1, afma_weight: float = 1.0, zero_init: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        if self.out_channels != self.num_classes:
            raise ValueError(f'AFMASegformerHead: out_channels must equal num_classes, got {self.out_channels} and '
                             f'{self.num_classes}.')
        self.afma_weight = afma_weight
        self.zero_init = zero_init
        self.afma = AFMA(self.in_channels[-1], self.num_classes, patch_size, zero_init=zero_init)

    def init_weights(self) -> None:
        """Initialize as configured by ``init_cfg``, then apply ``zero_init`` again."""
        super().init_weights()
        if self.zero_init:
            self.afma.zero_output()

    def attend(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return corrected masks (B, num_classes, H, W) and the class maps of the image and the coarsest map."""
        *maps, image = inputs
        if len(maps) <= max(self.in_index):
            raise ValueError(f'AFMASegformerHead: inputs must be {max(self.in_index) + 1} maps and the image, got '
                             f"{len(inputs)} inputs. Use a segmentor of type='ImageEncoderDecoder'.")
        class_maps = self.afma.encode(image, maps[self.in_index[-1]])
        masks = resize(super().forward(maps), image.shape[2:], mode='bilinear', align_corners=self.align_corners)
        return self.afma.modify(masks, *class_maps), *class_maps

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Predict logits (B, num_classes, H, W) from the maps, fine to coarse, and the image (B, 3, H, W)."""
        return self.attend(inputs)[0]

    def loss(self, inputs: Sequence[Tensor], batch_data_samples: list, train_cfg: dict) -> dict[str, Tensor]:
        """Return the stock losses of the corrected masks and ``loss_afma``."""
        logits, image_classes, map_classes = self.attend(inputs)
        losses = self.loss_by_feat(logits, batch_data_samples)
        losses['loss_afma'] = self.afma_weight * self.afma.loss(image_classes, map_classes,
                                                                self.one_hot_masks(batch_data_samples))
        return losses

    def one_hot_masks(self, batch_data_samples: list) -> Tensor:
        """Return the ground-truth masks (B, num_classes, H, W), zero at ignored pixels."""
        labels = self._stack_batch_gt(batch_data_samples)  # (B, 1, H, W)
        classes = torch.arange(self.num_classes, device=labels.device).view(1, -1, 1, 1)
        return (labels == classes).float()
