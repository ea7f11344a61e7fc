"""Detection head of RT-DETR."""
import torch
from mmdet.models.dense_heads import DINOHead
from torch import Tensor

from ...registry import MODELS

__all__ = ['RTDETRHead']


@MODELS.register_module()
class RTDETRHead(DINOHead):
    """DINO's head without box regression in the forward pass: RT-DETR's decoder returns the boxes.

    Takes the arguments of :class:`mmdet.models.DINOHead`.
    """

    def forward(self, hidden_states: Tensor, references: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Classify the queries of all decoder layers in training, and of the last layer in inference.

        Args:
            hidden_states: Hidden states of shape (num_layers, B, num_queries, C).
            references: Boxes (cx, cy, w, h) of each layer, relative to the image, of shape (B, num_queries, 4).

        Returns:
            Logits (num_layers, B, num_queries, num_classes) and boxes (num_layers, B, num_queries, 4).
        """
        last = len(hidden_states) - 1
        layers = range(last + 1) if self.training else [last]
        logits = torch.stack([self.cls_branches[i](hidden_states[i]) for i in layers])
        return logits, torch.stack([references[i] for i in layers])
