"""Scaling benchmark on tiny layers."""

import json

import pytest
import torch
from torch import nn

from benchmarks.layer_benchmark import SCALING_CASES, ScalingCase, ScalingResult, bench_scaling


class Outer(nn.Module):

    def forward(self, x):
        x = x.flatten()
        return (x[:, None] * x).sum(1)


def build_linear(side):
    return nn.Conv2d(1, 1, 1), (torch.randn(1, 1, side, side), )


def build_quadratic(side):
    return Outer(), (torch.randn(1, 1, side, side), )


def test_memory_per_pixel_of_linear_and_quadratic_layers():
    linear, quadratic = (list(bench_scaling([ScalingCase('x', 'small', (8, 16), build)], training=False, turns=1))
                         for build in (build_linear, build_quadratic))
    assert [result.side for result in linear] == [8, 16] and linear[0].memory_per_pixel == 1
    assert linear[1].memory_per_pixel == pytest.approx(1, abs=0.1)
    assert quadratic[1].memory_per_pixel > 3.5


def test_one_result_per_pass_and_size():
    lines = []
    results = list(bench_scaling([ScalingCase('x', 'small', (4, 8), build_linear)], turns=2, log=lines.append))
    assert lines == ['x small, inference', 'x small, training step']
    assert [(result.training, result.side) for result in results] == [(False, 4), (False, 8), (True, 4), (True, 8)]
    assert json.loads(json.dumps(results[1].to_dict()))['base_seconds'] == results[0].seconds


def test_time_and_memory_are_relative_to_the_smallest_side():
    result = ScalingResult('x', 'small', 20, False, seconds=[8., 16.], memory=12, base_side=10, base_seconds=[1., 2.],
                           base_memory=2)
    assert result.time_per_pixel.median == 2 and result.memory_per_pixel == 1.5


@pytest.mark.parametrize('case', SCALING_CASES, ids=lambda case: f'{case.layer} {case.title}')
def test_built_in_cases_run(case):
    layer, inputs = case.build(64)
    with torch.no_grad():
        layer.eval()(*inputs)
    assert {case.layer for case in SCALING_CASES} == {'CFSAM', 'CLA'}
