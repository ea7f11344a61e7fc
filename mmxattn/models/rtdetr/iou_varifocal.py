"""Varifocal loss whose target is the IoU, as RT-DETR trains its classes.

Papers: Zhang et al., "VarifocalNet: An IoU-aware Dense Object Detector", Eq. 2; Zhao et al., "DETRs Beat YOLOs on
Real-time Object Detection", Eq. 3, where the IoU ties the score that selects a query to the place of its box.

Beside the papers, as in RT-DETR's release: no gradient passes through the weight of a class (in mmdet's varifocal loss
one does), so that a matched query without overlap pulls its class neither up nor down.
"""
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ['iou_varifocal_loss']


def iou_varifocal_loss(logits: Tensor, labels: Tensor, ious: Tensor, alpha: float = 0.75,
                       gamma: float = 2.0) -> Tensor:
    """The loss of N queries, class by class: (N, classes).

    Args:
        logits: (N, classes).
        labels: the matched object's class (N, ); the number of classes where a query is background.
        ious: of the matched object's box with the query's (N, ).
        alpha: weight of the classes that a query is not.
        gamma: exponent of their predicted score.
    """
    matched = F.one_hot(labels, logits.shape[1] + 1)[:, :-1].bool()  # (N, classes)
    target = torch.where(matched, ious[:, None], 0.).to(logits)
    weight = torch.where(matched, target, alpha * logits.detach().sigmoid()**gamma)
    return F.binary_cross_entropy_with_logits(logits, target, weight, reduction='none')
