import torch
from torch.nn import functional as F

from mmxattn.profiling.operators import Operator, OperatorRecorder


def record(function, counted=()):
    with torch.no_grad(), OperatorRecorder(counted) as recorder:
        function()
    return recorder.operators()


def test_operators_are_sorted_by_elements():
    x = torch.randn(2, 3, 4, 5)
    assert record(lambda: (F.relu(x), F.relu(x), x.sum())) == [
        Operator('aten.relu', calls=2, elements=2 * x.numel()), Operator('aten.sum', calls=1, elements=1)]


def test_counted_operators_and_copies_are_excluded():
    x = torch.randn(4, 4)
    assert record(lambda: x.mm(x).view(16).clone(), [torch.ops.aten.mm]) == []
    assert [operator.name for operator in record(lambda: x.mm(x))] == ['aten.mm']


def test_mmcv_operators_are_recorded_and_restored():
    from mmcv import _ext
    from mmcv.ops import RoIAlign, nms
    original = _ext.roi_align_forward
    features, rois = torch.randn(1, 8, 9, 9), torch.tensor([[0., 0, 0, 9, 9], [0, 2, 2, 12, 12]])
    found = {operator.name: operator for operator in record(lambda: RoIAlign(7, sampling_ratio=2)(features, rois))}
    assert found['mmcv.roi_align_forward'] == Operator('mmcv.roi_align_forward', calls=1, elements=2 * 8 * 7 * 7)
    assert 'mmcv.nms' in {operator.name for operator in record(lambda: nms(rois[:, 1:], torch.rand(2), 0.5))}
    assert _ext.roi_align_forward is original
