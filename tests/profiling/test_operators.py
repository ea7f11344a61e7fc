import torch
from torch.nn import functional as F

from mmxattn.profiling.operators import Operator, Recorder


def recorded(function, counted=()):
    with torch.no_grad(), Recorder(counted) as recorder:
        function()
    return recorder.operators()


def test_calls_and_elements_the_largest_first():
    x = torch.randn(2, 3, 4, 5)
    assert recorded(lambda: (F.relu(x), F.relu(x), x.sum())) == [
        Operator('aten.relu', calls=2, elements=2 * x.numel()), Operator('aten.sum', calls=1, elements=1)]


def test_what_has_a_rule_and_what_computes_nothing_is_left_out():
    x = torch.randn(4, 4)
    assert recorded(lambda: x.mm(x).view(16).clone(), [torch.ops.aten.mm]) == []
    assert [operator.name for operator in recorded(lambda: x.mm(x))] == ['aten.mm']


def test_operators_that_the_toolbox_compiled_are_seen():
    from mmcv import _ext
    from mmcv.ops import RoIAlign, nms
    original = _ext.roi_align_forward
    features, rois = torch.randn(1, 8, 9, 9), torch.tensor([[0., 0, 0, 9, 9], [0, 2, 2, 12, 12]])
    names = {operator.name: operator for operator in recorded(lambda: RoIAlign(7, sampling_ratio=2)(features, rois))}
    assert names['mmcv.roi_align_forward'] == Operator('mmcv.roi_align_forward', calls=1, elements=2 * 8 * 7 * 7)
    assert 'mmcv.nms' in {operator.name for operator in recorded(lambda: nms(rois[:, 1:], torch.rand(2), 0.5))}
    assert _ext.roi_align_forward is original
