"""Model benchmark: which models are timed and how, not how fast they are."""

import json

import pytest
import torch

from benchmarks import model_benchmark
from benchmarks.model_benchmark import CASES, ModelCase, Overhead, bench_models, build, select, with_reference_forward


def test_every_module_has_a_case():
    assert {case.module for case in CASES} == {'SCSA', 'FINE', 'CFSAM', 'CLA'}
    assert len({(case.module, case.title) for case in CASES}) == len(CASES)


def test_select_by_name():
    assert [case.title for case in select('patch_size=4')] == ['SegFormer-B0, 512x512, patch_size=4']
    assert select('cfsam') == [case for case in CASES if case.module == 'CFSAM']
    with pytest.raises(ValueError, match="'YOLO' must be part of the name of a model:\n  SCSA ResNet-50"):
        select('YOLO')


def test_fine_model_starts_equal_to_the_stock_model():
    case, = select('FINE')
    _, (stock, swapped) = build(case, 'cpu')
    maps = [torch.randn(1, channels, side, side) for channels, side in zip((256, 512, 1024, 2048), (16, 8, 4, 2))]
    with torch.no_grad():
        for expected, actual in zip(stock.neck(maps), swapped.neck(maps)):
            assert torch.equal(expected, actual)


def test_cfsam_model_starts_equal_to_the_stock_model():
    case, = select('CFSAM')
    _, (stock, swapped) = build(case, 'cpu')
    image = torch.randn(1, 3, 300, 300)
    with torch.no_grad():
        for expected, actual in zip(stock.extract_feat(image), swapped.extract_feat(image)):
            assert torch.equal(expected, actual)


def test_cla_model_shares_weights_and_has_its_patch_size():
    case, = select('patch_size=8')
    _, (stock, swapped) = build(case, 'cpu')
    assert torch.equal(stock.decode_head.convs[0].conv.weight, swapped.decode_head.convs[0].conv.weight)
    assert swapped.decode_head.blocks[0].cla.patch_size == 8


def test_reference_model_computes_the_same_output():
    case = select('224x224, 8 images')[0]
    _, (_, swapped) = build(case, 'cpu')
    swapped.eval()
    reference = with_reference_forward(swapped)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for actual, expected in zip(swapped.backbone(images), reference.backbone(images)):
            assert torch.allclose(actual, expected, rtol=1e-3, atol=1e-4 * expected.abs().max())
    assert not any('forward' in vars(module) for module in swapped.modules())
    assert sum('forward' in vars(module) for module in reference.modules()) == 16  # one per block


@pytest.fixture
def calls(monkeypatch):
    """Replace the models with their names and record the calls."""
    calls = []

    def make_step(kind):
        return lambda case, cfg, model, device: lambda: calls.append((kind, model))

    monkeypatch.setattr(model_benchmark, 'build', lambda case, device: ((None, None), ['stock', 'swapped']))
    monkeypatch.setattr(model_benchmark, 'inference_step', make_step('inference'))
    monkeypatch.setattr(model_benchmark, 'training_step', make_step('training'))
    monkeypatch.setattr(model_benchmark, 'with_reference_forward', lambda model: 'reference')
    monkeypatch.setattr(model_benchmark, 'count_macs', lambda function: 5)
    return calls


def test_models_are_timed_in_turns(calls):
    lines = []
    case = ModelCase('SCSA', 'title', ('mmdet', ''), '', reference=True)
    inference, training = bench_models([case], turns=6, log=lines.append)
    assert lines == ['SCSA in title']
    assert (inference.training, training.training) == (False, True)
    assert len(inference.stock) == len(inference.swapped) == len(inference.reference) == 6
    assert calls[:3] == [('inference', model) for model in ('stock', 'swapped', 'reference')]
    assert calls[-2:] == [('training', model) for model in ('stock', 'swapped')]
    assert training.reference is training.reference_ratio is None
    saved = json.loads(json.dumps(inference.to_dict()))
    assert saved['ratio']['median'] == inference.ratio.median and saved['macs'] == [5, 5]


def test_time_of_several_calls_per_turn_is_divided_by_their_number(calls, monkeypatch):
    monkeypatch.setattr(model_benchmark.timing, 'timer_for', lambda device: lambda function: (function(), 12.0)[1])
    result, = bench_models([ModelCase('SCSA', 'title', ('mmdet', ''), '', training=False)], turns=2, calls=4)
    assert calls[:8] == [('inference', 'stock')] * 4 + [('inference', 'swapped')] * 4
    assert set(result.stock + result.swapped) == {3.0}  # seconds of one call


@pytest.mark.parametrize('options', [dict(turns=0), dict(calls=0)])
def test_numbers_must_be_positive(options):
    with pytest.raises(ValueError, match='must be at least 1, got 0'):
        next(bench_models(CASES, **options))


def test_ratio_is_computed_per_turn():
    overhead = Overhead('SCSA', 'title', False, stock=[1., 2., 4.], swapped=[1.5, 3., 6.], macs=(1, 1))
    assert overhead.ratio.median == overhead.ratio.lower == overhead.ratio.upper == 1.5
    assert overhead.interval == (1.5, 1.5)


def test_backbone_only_times_the_backbone():
    class Model:
        images = None

        def backbone(self, images):
            self.images = images

    model = Model()
    case = ModelCase('SCSA', 'title', ('mmdet', ''), '', shape=(8, 9), batch_size=2, backbone_only=True)
    model_benchmark.inference_step(case, None, model, 'cpu')()
    assert model.images.shape == (2, 3, 8, 9)
