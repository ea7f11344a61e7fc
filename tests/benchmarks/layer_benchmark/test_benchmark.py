"""The layer benchmark on tiny maps; how long something takes cannot fail a test."""

import json
from dataclasses import replace
from functools import partial

import pytest
import torch

from benchmarks.layer_benchmark import Case, Passes, Rates, bench_layers, benchmark, literal
from benchmarks.layer_benchmark.cases import LAYERS
from mmxattn.layers import CFSAM, FINE, SCSA, CrossLayerAttention
from mmxattn.ops.scsa import without_kernels

RATES = Rates(bytes_per_second=1e3, macs_per_second=1e12)  # bytes decide


def tiny():
    return SCSA(8), (torch.randn(2, 8, 9, 11), )


SCSA_CASE = Case('SCSA', '2x8x9x11', tiny, literal.scsa, Passes((3, ), 1), Passes((6, ), 3))
MAP = 2 * 8 * 9 * 11 * 4  # bytes


def bench(*cases, **options):
    return list(bench_layers(cases, RATES, **dict(dict(turns=3), **options)))


def test_what_is_told_of_a_case():
    said = []
    with without_kernels():
        inference, training = bench(SCSA_CASE, say=said.append)
    assert said == ['SCSA 2x8x9x11, inference', 'SCSA 2x8x9x11, training step']
    assert (inference.layer, inference.title, inference.training, training.training) == (
        'SCSA', '2x8x9x11', False, True)
    for result in (inference, training):
        for form in (result.ours, result.literal):
            assert len(form.seconds) == 3 and min(form.seconds) > 0
            assert form.memory >= MAP and form.bytes_moved > result.necessary_bytes
        assert result.error < 1e-6 and result.compiled is None and result.notes == []
        assert result.speed_up.lower > 0 and result.above_floor.median > 0
        assert result.floor == result.necessary_bytes / 1e3
    parameters = 16 * 8 * 4
    assert inference.necessary_bytes == 4 * MAP + parameters
    assert training.necessary_bytes == 9 * MAP + 2 * parameters
    assert training.macs == 3 * inference.macs > 0
    assert training.ours.memory > inference.ours.memory and training.ours.bytes_moved > inference.ours.bytes_moved
    told = json.loads(json.dumps(inference.to_dict()))
    assert told['ours']['seconds'] == inference.ours.seconds
    assert told['speed_up']['median'] == inference.speed_up.median and told['compiled_speed_up'] is None


def test_bytes_that_are_not_seen_are_not_told():
    pytest.importorskip('numba')
    inference, training = bench(SCSA_CASE)  # on a CPU SCSA is compiled loops in inference, and operators in training
    assert inference.ours.bytes_moved is None and training.ours.bytes_moved > training.necessary_bytes
    assert inference.literal.bytes_moved > inference.necessary_bytes
    assert inference.error < 1e-6


def test_inference_alone():
    result, = bench(SCSA_CASE, training=False)
    assert not result.training


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('make, form, shapes', [
    (partial(SCSA, 8), literal.scsa, [(2, 8, 9, 11)]),
    (partial(FINE, 32), literal.fine, [(1, 32, 8, 8), (1, 32, 4, 4)]),
    (partial(CFSAM, [8, 8], 16), literal.cfsam, [[(2, 8, 6, 6), (2, 8, 3, 3)]]),
    (partial(CrossLayerAttention, 4, 6, 8, 2), literal.cla, [(1, 4, 8, 8), (1, 6, 4, 4), (1, 8, 4, 4)]),
], ids=list(LAYERS))
def test_forms_agree_in_short_formats(make, form, shapes, dtype):
    def build():
        return make(), tuple([torch.randn(own) for own in shape] if isinstance(shape, list) else torch.randn(shape)
                             for shape in shapes)

    passes = Passes((1, ) * len(shapes), 1)
    for result in bench(Case('layer', 'tiny', build, form, passes, passes), dtype=dtype, turns=1):
        assert result.error < benchmark.TOLERANCE[dtype]


def test_forms_that_do_not_agree_are_refused():
    wrong = replace(SCSA_CASE, literal=lambda layer, x: literal.scsa(layer, x) * 1.01)
    with pytest.raises(ValueError, match=r'SCSA 2x8x9x11: the layer and its literal form differ by 0.0099'):
        bench(wrong)


def test_gradients_that_do_not_agree_are_refused():
    wrong = replace(SCSA_CASE, literal=lambda layer, x: literal.scsa(layer, x.detach() * 0.5 + x * 0.5))
    outcomes = bench_layers([wrong], RATES, turns=1)
    assert next(outcomes).error < 1e-6
    with pytest.raises(ValueError, match='differ by'):
        next(outcomes)


def test_a_literal_form_that_does_not_fit_is_left_out(monkeypatch):
    monkeypatch.setattr(benchmark, 'available_memory', lambda device: 8 * 2**30)
    inference, training = bench(replace(SCSA_CASE, needs=(2**30, 2**30 + 1)))  # elements of four bytes
    assert inference.literal and not inference.notes
    assert training.literal is training.speed_up is training.error is None
    assert training.ours.seconds
    assert training.notes == ['literal form left out: it needs 4.0 GiB or more, and 8.0 GiB are free']


def test_free_memory_is_known():
    assert benchmark.available_memory('cpu') > 0


def test_no_turns_are_refused():
    with pytest.raises(ValueError, match='turns=0 must be at least 1'):
        bench(SCSA_CASE, turns=0)


def test_a_layer_that_does_not_compile_says_why(monkeypatch):
    def broken(*maps):
        raise RuntimeError('no compiler\nand a long story')

    monkeypatch.setattr(torch, 'compile', lambda module, fullgraph: broken)
    result, = bench(SCSA_CASE, training=False, compiled=True)
    assert result.compiled is None and result.literal.seconds
    assert result.notes == ['torch.compile: RuntimeError: no compiler']


@pytest.mark.slow
def test_a_compiled_layer_takes_turns_too():
    for result in bench(SCSA_CASE, compiled=True):
        assert len(result.compiled.seconds) == 3 and result.compiled_speed_up.median > 0
        assert result.compiled.bytes_moved is None and result.notes == []
