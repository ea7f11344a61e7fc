"""The benchmark of hosts; how long something takes cannot fail a test."""

import json

import pytest
import torch

from benchmarks import model_benchmark as host_benchmark
from benchmarks.model_benchmark import HOSTS, Added, Host, bench_hosts, build, literally, select


def test_every_part_has_a_host():
    assert {host.part for host in HOSTS} == {'SCSA', 'FINE', 'CFSAM', 'CLA'}
    assert len({(host.part, host.title) for host in HOSTS}) == len(HOSTS)


def test_hosts_by_name():
    assert [host.title for host in select('patch_size=4')] == ['SegFormer-B0, 512x512, patch_size=4']
    assert select('cfsam') == [host for host in HOSTS if host.part == 'CFSAM']
    with pytest.raises(ValueError, match="No host has 'YOLO' in its name; these are there:\n  SCSA ResNet-50"):
        select('YOLO')


@pytest.mark.parametrize('part, channels, sides', [
    ('FINE', (256, 512, 1024, 2048), (16, 8, 4, 2)),
    ('CFSAM', (512, 1024), (12, 6)),
])
def test_a_host_with_boxes_finds_the_same_with_its_part(part, channels, sides):
    host = next(host for host in HOSTS if host.part == part)
    _, (stock, ours) = build(host, 'cpu')
    maps = [torch.randn(1, c, side, side) for c, side in zip(channels, sides)]
    if part == 'CFSAM':  # SSD's neck makes maps until there is one pixel
        stock.neck.extra_layers, ours.neck[0].extra_layers = stock.neck.extra_layers[:0], ours.neck[0].extra_layers[:0]
        ours.neck[1].in_channels, ours.neck[1].levels = [512, 1024], [0, 1]
        ours.neck[1].cfsam.in_channels = (512, 1024)
    with torch.no_grad():
        for right, same in zip(stock.neck(maps), ours.neck(maps)):
            assert torch.equal(right, same)


def test_cla_takes_the_stock_weights_and_its_patch_size():
    host, = select('patch_size=8')
    _, (stock, ours) = build(host, 'cpu')
    assert torch.equal(stock.decode_head.convs[0].conv.weight, ours.decode_head.convs[0].conv.weight)
    assert ours.decode_head.blocks[0].cla.patch_size == 8


@pytest.fixture
def quick(monkeypatch):
    """Hosts whose models are names, and do nothing."""
    called = []

    def prepare(kind):
        return lambda host, cfg, model, device: lambda: called.append((kind, model))

    monkeypatch.setattr(host_benchmark, 'build', lambda host, device: ((None, None), ['stock', 'ours']))
    monkeypatch.setattr(host_benchmark, 'inference', prepare('inference'))
    monkeypatch.setattr(host_benchmark, 'training_step', prepare('training'))
    monkeypatch.setattr(host_benchmark, 'count_macs', lambda function: [function(), 5][1])
    return called


def test_models_take_turns(quick):
    said = []
    inference, training = bench_hosts([Host('CFSAM', 'one', ('mmdet', ''), '')], turns=6, say=said.append)
    assert said == ['CFSAM in one']
    assert (inference.training, training.training) == (False, True)
    assert len(inference.stock) == len(inference.ours) == 6 and inference.macs == (5, 5)
    turns = [call for call in quick if call[0] == 'training']
    assert turns == [('training', 'stock'), ('training', 'ours')] * (len(turns) // 2)
    told = json.loads(json.dumps(inference.to_dict()))
    assert told['ratio']['median'] == inference.ratio.median and told['ours'] == inference.ours


def test_several_calls_a_turn(quick, monkeypatch):
    monkeypatch.setattr(host_benchmark.speed, 'timer_for', lambda device: lambda function: (function(), 12.0)[1])
    result, = bench_hosts([Host('SCSA', 'two', ('mmdet', ''), '', training=False)], turns=2, calls=4)
    counted = [('inference', 'stock'), ('inference', 'ours')]
    assert quick[2:10] == counted[:1] * 4 + counted[1:] * 4
    assert result.stock == result.ours == [3.0] * len(result.stock)  # seconds of one call
    with pytest.raises(ValueError, match='calls=0 must be at least 1'):
        next(bench_hosts([], turns=1, calls=0))


def test_a_host_without_training(quick):
    result, = bench_hosts([Host('SCSA', 'two', ('mmdet', ''), '', training=False)], turns=1)
    assert not result.training and result.literal is None and result.literal_ratio is None


def test_a_literal_form_takes_its_turn(quick, monkeypatch):
    monkeypatch.setattr(host_benchmark, 'literally', lambda model, layer, form: f'{model}, {layer} by {form}')
    host = Host('SCSA', 'three', ('mmdet', ''), '', training=False, literal=('SCSA', 'its equations'))
    result, = bench_hosts([host], turns=6)
    assert quick[-3:] == [('inference', model) for model in ('stock', 'ours', 'ours, SCSA by its equations')]
    assert len(result.literal) == 6 and result.macs == (5, 5)
    assert json.loads(json.dumps(result.to_dict()))['literal_ratio']['median'] == result.literal_ratio.median


def test_the_literal_form_computes_the_same():
    host = select('224x224, 8 images')[0]
    _, (_, ours) = build(host, 'cpu')
    ours.eval()
    literal = literally(ours, *host.literal)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        maps = zip(ours.backbone(images), literal.backbone(images))
    for same, right in maps:
        assert torch.allclose(same, right, rtol=1e-3, atol=1e-4 * right.abs().max())
    assert not any('forward' in vars(module) for module in ours.modules())
    assert sum('forward' in vars(module) for module in literal.modules()) == 16  # one a block


def test_no_turns_are_refused():
    with pytest.raises(ValueError, match='turns=0 must be at least 1'):
        list(bench_hosts(HOSTS, turns=0))


def test_the_ratio_is_of_each_turn():
    added = Added('SCSA', 'x', False, stock=[1., 2., 4.], ours=[1.5, 3., 6.], macs=(1, 1))
    assert added.ratio.median == added.ratio.lower == added.ratio.upper == 1.5
    assert added.between == (1.5, 1.5)


def test_the_backbone_alone_is_told_from_the_model():
    class Model:
        calls = 0

        def backbone(self, images):
            assert images.shape == (2, 3, 8, 9)
            Model.calls += 1

    host = Host('SCSA', 'x', ('mmdet', ''), '', shape=(8, 9), batch_size=2, features=True)
    host_benchmark.inference(host, None, Model(), 'cpu')()
    assert Model.calls == 1
