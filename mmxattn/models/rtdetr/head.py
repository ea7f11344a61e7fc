"""RT-DETR's detection head."""
import torch
from mmdet.models.dense_heads import DINOHead
from torch import Tensor

from ...registry import MODELS

__all__ = ['RTDETRHead']


@MODELS.register_module()
class RTDETRHead(DINOHead):
    """DINO's head for a decoder that refines the boxes itself.

    mmdet's DINO regresses each box twice, once in the decoder and once here; RT-DETR's decoder hands its boxes over,
    and of its states only the last is scored in prediction. Takes the arguments of :class:`mmdet.models.DINOHead`.

    Paper: Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection".
    """

    def forward(self, hidden_states: Tensor, references: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Scores and boxes of every decoder layer; of the last one where the head does not train.

        Args:
            hidden_states: (layers, B, queries, C).
            references: each layer's boxes (B, queries, 4), (cx, cy, w, h) as fractions of the image.

        Returns:
            Logits (layers, B, queries, classes) and boxes (layers, B, queries, 4).
        """
        last = len(hidden_states) - 1
        layers = range(last + 1) if self.training else [last]
        scores = torch.stack([self.cls_branches[i](hidden_states[i]) for i in layers])
        return scores, torch.stack([references[i] for i in layers])
