"""How costs grow, on tiny layers; how long something takes cannot fail a test."""

import json

import pytest
import torch
from torch import nn

from benchmarks.layer_benchmark import GROWTHS, Grown, Growth, bench_scaling
from benchmarks.layer_benchmark.scaling import cfsam, cla


def linear(side):
    return nn.Conv2d(1, 1, 1), (torch.randn(1, 1, side, side), )


class AllPairs(nn.Module):

    def forward(self, x):
        x = x.flatten()
        return (x[:, None] * x).sum(1)


def quadratic(side):
    return AllPairs(), (torch.randn(1, 1, side, side), )


def test_memory_that_grows_with_the_pixels_and_with_their_square():
    flat, steep = (list(bench_scaling([Growth('x', 'small', (8, 16), build)], training=False, turns=1))
                   for build in (linear, quadratic))
    assert [grown.side for grown in flat] == [8, 16] and flat[0].memory_per_pixel == 1
    assert flat[1].memory_per_pixel == pytest.approx(1, abs=0.1)
    assert steep[1].memory_per_pixel > 3.5


def test_each_pass_and_size():
    said = []
    results = list(bench_scaling([Growth('x', 'small', (4, 8), linear)], turns=2, say=said.append))
    assert said == ['x small, inference', 'x small, training step']
    assert [(grown.training, grown.side) for grown in results] == [(False, 4), (False, 8), (True, 4), (True, 8)]
    assert json.loads(json.dumps(results[1].to_dict()))['least'] == results[0].seconds


def test_time_is_for_each_pixel():
    grown = Grown('x', 'small', 20, False, seconds=[8., 16.], least=[1., 2.], memory=12, least_side=10, least_memory=2)
    assert grown.time_per_pixel.median == 2 and grown.memory_per_pixel == 1.5


def test_layers_that_are_told_take_their_sizes():
    assert {growth.layer for growth in GROWTHS} == {'CFSAM', 'CLA'}
    layer, (maps, ) = cfsam(64)
    assert [x.shape[2] for x in layer.eval()(maps)] == [16, 8, 4, 2, 1]
    layer, maps = cla(64, 2, 3, patch_size=2)
    assert layer(*maps).shape == (1, 256, 8, 8)


def test_no_turns_are_refused():
    with pytest.raises(ValueError, match='turns=0 must be at least 1'):
        list(bench_scaling(turns=0))
