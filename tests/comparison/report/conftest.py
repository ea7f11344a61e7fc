"""A comparison of two detectors with two seeds, small enough to check every number."""

import pytest

from mmxattn.comparison.accuracy import Accuracy
from mmxattn.comparison.config_diff import Change
from mmxattn.comparison.result import Comparison, RecipeResult, Run
from mmxattn.comparison.training import Training
from mmxattn.profiling.benchmark import Speed
from mmxattn.profiling.complexity import Complexity, ModuleCost
from mmxattn.profiling.crosscheck import Crosscheck
from mmxattn.profiling.operators import Operator

KINDS = ('classification', 'localization', 'both', 'duplicate', 'background', 'missed')


def accuracy(ap, small):
    """Create the accuracy of a detector with two classes."""
    point = dict(tp=30, fp=10, fn=20, precision=0.75, recall=0.6, f1=2 / 3)
    return Accuracy(
        'detection', ['cat', 'dog'], 10, dict(AP=ap, AP50=ap + 0.2, AP_S=small, AP_M=ap, AP_L=ap),
        dict(cat=dict(AP=ap + 0.1, AP50=0.5, instances=9), dog=dict(AP=ap - 0.1, AP50=None, instances=3)), {},
        dict(iou=0.5, score=0.5, overall=point, per_class={}), {kind: dict(count=3, ap_lost=0.05) for kind in KINDS},
        {'recall': [0, 0.5, 1], '0.5': [1, 0.8, 0], '0.75': [0.9, 0.4, 0]}, '')


def recipe_result(name, parameters, aps, milliseconds, folder):
    """Create the result of a recipe with one seed per AP."""
    modules = {
        'backbone': ModuleCost('ResNet', 1_000_000, 2_000_000_000),
        'backbone.conv1': ModuleCost('Conv2d', 1_000_000, 2_000_000_000),
        'neck': ModuleCost('FINEFPN' if 'fine' in name else 'FPN', parameters - 1_000_000, 1000 * parameters),
        'neck.convs': ModuleCost('ModuleList', 500_000, 7_000_000)}
    if 'fine' in name:
        modules['neck.fine'] = ModuleCost('ModuleList', 527_104, 9_000_000)
        modules['neck.fine.0'] = ModuleCost('FINE', 527_104, 9_000_000)
    complexity = Complexity(
        parameters, parameters, 2_000_000_000 + 1000 * parameters, (160, 200), modules,
        [Operator('aten.relu_', 7, 3_500_000)], Crosscheck(2_000_000_000 + 1000 * parameters, []))
    speed = Speed('fp32', {'1': [milliseconds * t / 1000 for t in (1, 3, 2)], '4': [4 * milliseconds / 1000] * 3},
                  [milliseconds / 100], 2**20, 3 * 2**20)
    runs = []
    for seed, ap in enumerate(aps):
        checkpoint = folder / f'{name}-{seed}' / 'epoch_1.pth'
        runs.append(Run(seed, str(checkpoint), Training({}, 120.0, 9, str(checkpoint)), accuracy(ap, None)))
    return RecipeResult(name, f'{name}.py', name, [], complexity, [speed], runs)


@pytest.fixture
def comparison(tmp_path):
    """A comparison of FINEFPN with FPN."""
    baseline = recipe_result('rcnn_fpn_digits', 2_000_000, (0.40, 0.42), 10, tmp_path)
    candidate = recipe_result('rcnn_fine-fpn_digits', 2_500_000, (0.43, 0.41), 20, tmp_path)
    candidate.config_diff = [Change('model.neck.type', "'FPN'", "'FINEFPN'"), Change('optim_wrapper.lr', '1', '2')]
    candidate.differences = [{'AP': dict(difference=0.03, lower=0.01, upper=0.05)},
                             {'AP': dict(difference=-0.01, lower=-0.03, upper=0.02)}]
    return Comparison(baseline, [candidate], (160, 200), dict(torch='2.x', device='cpu'), 16)
