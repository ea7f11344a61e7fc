"""Varifocal loss for mmdet's DETR heads."""
from mmdet.models.losses import QualityFocalLoss
from mmdet.models.losses.utils import weight_reduce_loss
from torch import Tensor

from ...registry import MODELS
from .iou_varifocal import iou_varifocal_loss

__all__ = ['IoUVarifocalLoss']


@MODELS.register_module()
class IoUVarifocalLoss(QualityFocalLoss):
    """:func:`mmxattn.models.rtdetr.iou_varifocal.iou_varifocal_loss` behind the interface of mmdet's quality focal loss.

    mmdet's DETR heads compute the IoU of matched boxes for a :class:`QualityFocalLoss`, and hand labels and IoUs over;
    this is one by its interface, so the heads serve as they are.

    Args:
        alpha: weight of the classes that a query is not.
        gamma: exponent of their predicted score.
        loss_weight: weight of the loss.
    """

    def __init__(self, alpha: float = 0.75, gamma: float = 2.0, loss_weight: float = 1.0):
        super().__init__(use_sigmoid=True, loss_weight=loss_weight)
        self.alpha = alpha
        self.gamma = gamma

    def forward(self, pred: Tensor, target: tuple[Tensor, Tensor], weight: Tensor | None = None,
                avg_factor: float | None = None, reduction_override: str | None = None) -> Tensor:
        """The loss of N queries.

        Args:
            pred: logits (N, classes).
            target: labels (N, ), with the number of classes for background, and IoUs (N, ).
            weight: of each query (N, ).
            avg_factor: what the sum is divided by.
            reduction_override: 'none', 'mean' or 'sum'.
        """
        loss = iou_varifocal_loss(pred, *target, self.alpha, self.gamma).sum(1)  # (N, )
        return self.loss_weight * weight_reduce_loss(
            loss, weight, reduction_override or self.reduction, avg_factor)
