"""Varifocal loss with the IoU as target.

Papers: Zhang et al., "VarifocalNet: An IoU-aware Dense Object Detector", Eq. 2; RT-DETR, Eq. 3.

Differences from the papers: as in RT-DETR's release, no gradient flows through the weight of a class (it does in
mmdet's varifocal loss), so a matched query without overlap neither increases nor decreases the score of its class.
"""
import torch
import torch.nn.functional as F
from mmdet.models.losses import QualityFocalLoss
from mmdet.models.losses.utils import weight_reduce_loss
from torch import Tensor

from ...registry import MODELS

__all__ = ['IoUVarifocalLoss', 'iou_varifocal_loss']


def iou_varifocal_loss(logits: Tensor, labels: Tensor, ious: Tensor, alpha: float = 0.75,
                       gamma: float = 2.0) -> Tensor:
    """Compute the loss of each query and class.

    Args:
        logits: Logits of shape (N, num_classes).
        labels: Class of the matched object of shape (N,); ``num_classes`` for background.
        ious: IoU of predicted and matched box of shape (N,).
        alpha: Weight of negative classes.
        gamma: Exponent of the predicted score in the weight of negative classes.

    Returns:
        Loss of shape (N, num_classes).
    """
    matched = F.one_hot(labels, logits.shape[1] + 1)[:, :-1].bool()  # (N, classes)
    target = torch.where(matched, ious[:, None], 0.).to(logits)
    weight = torch.where(matched, target, alpha * logits.detach().sigmoid()**gamma)
    return F.binary_cross_entropy_with_logits(logits, target, weight, reduction='none')


@MODELS.register_module()
class IoUVarifocalLoss(QualityFocalLoss):
    """Varifocal loss for mmdet's DETR heads.

    The heads compute the IoU of matched boxes only for a :class:`QualityFocalLoss`, hence the base class.

    Args:
        alpha: Weight of negative classes.
        gamma: Exponent of the predicted score in the weight of negative classes.
        loss_weight: Weight of the loss.
    """

    def __init__(self, alpha: float = 0.75, gamma: float = 2.0, loss_weight: float = 1.0):
        super().__init__(use_sigmoid=True, loss_weight=loss_weight)
        self.alpha = alpha
        self.gamma = gamma

    def forward(self, pred: Tensor, target: tuple[Tensor, Tensor], weight: Tensor | None = None,
                avg_factor: float | None = None, reduction_override: str | None = None) -> Tensor:
        """Compute the loss of N queries.

        Args:
            pred: Logits of shape (N, num_classes).
            target: Labels of shape (N,), with ``num_classes`` for background, and IoUs of shape (N,).
            weight: Weight of each query of shape (N,).
            avg_factor: Divisor of the sum.
            reduction_override: 'none', 'mean' or 'sum'.
        """
        loss = iou_varifocal_loss(pred, *target, self.alpha, self.gamma).sum(1)  # (N,)
        return self.loss_weight * weight_reduce_loss(
            loss, weight, reduction_override or self.reduction, avg_factor)
