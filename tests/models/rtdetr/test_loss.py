import pytest
import torch
import torch.nn.functional as F
from mmdet.models.losses import VarifocalLoss

from mmxattn.models import IoUVarifocalLoss

LABELS = torch.tensor([2, 0, 3, 3, 1])  # 3: background
IOUS = torch.tensor([0.7, 0.2, 0., 0., 0.])  # the last query is matched without overlap


def logits():
    torch.manual_seed(0)
    return torch.randn(5, 3, requires_grad=True)


def reference(pred, alpha, gamma):
    """Query by query and class by class."""
    total = 0.
    for row, label, iou in zip(pred, LABELS, IOUS):
        for k, logit in enumerate(row):
            p = logit.sigmoid()
            if k == label:
                total = total + iou * -(iou * p.log() + (1 - iou) * (1 - p).log())
            else:
                total = total - alpha * p.detach()**gamma * (1 - p).log()
    return total


@pytest.mark.parametrize('alpha, gamma, weight', [(0.75, 2.0, 1.0), (0.5, 1.0, 2.0)])
def test_agrees_with_reference(alpha, gamma, weight):
    pred, other = logits(), logits()
    loss = IoUVarifocalLoss(alpha, gamma, weight)(pred, (LABELS, IOUS), torch.ones(5), avg_factor=2.)
    expected = weight * reference(other, alpha, gamma) / 2
    assert torch.allclose(loss, expected)
    loss.backward()
    expected.backward()
    assert torch.allclose(pred.grad, other.grad)


def test_agrees_with_mmdets_loss_if_all_matches_overlap():
    pred, ious = logits(), torch.tensor([0.7, 0.2, 0., 0., 0.4])
    target = F.one_hot(LABELS, 4)[:, :3] * ious[:, None]
    loss = IoUVarifocalLoss()(pred, (LABELS, ious), avg_factor=3.)
    assert torch.allclose(loss, VarifocalLoss(loss_weight=1.0)(pred, target, avg_factor=3.))


def test_match_without_overlap_has_no_gradient_for_its_class():
    pred = logits()
    IoUVarifocalLoss()(pred, (LABELS, IOUS), avg_factor=1.).backward()
    assert pred.grad[4, 1] == 0
    assert pred.grad[4, 0] != 0 and pred.grad[2].all()


def test_query_of_weight_zero_is_ignored():
    pred = logits()
    IoUVarifocalLoss()(pred, (LABELS, IOUS), torch.tensor([1., 0, 1, 1, 1]), avg_factor=1.).backward()
    assert not pred.grad[1].any() and pred.grad[0].all()


def test_sum_reduction_adds_the_unreduced_losses():
    loss, pred = IoUVarifocalLoss(), logits()
    each = loss(pred, (LABELS, IOUS), reduction_override='none')
    assert each.shape == (5, )
    assert torch.allclose(each.sum(), loss(pred, (LABELS, IOUS), reduction_override='sum'))
