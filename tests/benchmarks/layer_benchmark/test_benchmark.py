"""Layer benchmark on tiny maps: which values are measured, not how large they are."""

import json
from dataclasses import replace

import pytest
import torch

from benchmarks.layer_benchmark import Case, MemoryPasses, PeakRates, bench_layers, benchmark, select
from mmxattn.layers import SCSA, CrossLayerAttention
from mmxattn.layers.cla import cross_layer_attention_reference

PEAK = PeakRates(bytes_per_second=1e3, macs_per_second=1e12)  # always limited by memory


def build_scsa():
    return SCSA(8), (torch.randn(2, 8, 9, 11), )


def build_cla():
    return CrossLayerAttention(4, 6, 8, 2), (torch.randn(1, 4, 8, 8), torch.randn(1, 6, 4, 4), torch.randn(1, 8, 4, 4))


SCSA_CASE = Case('SCSA', '2x8x9x11', build_scsa, MemoryPasses((3, ), 1), MemoryPasses((6, ), 3), SCSA.forward_reference)
CLA_CASE = Case('CLA', 'tiny', build_cla, MemoryPasses((1, 1, 1), 1), MemoryPasses((3, 3, 3), 2),
                cross_layer_attention_reference)
MAP = 2 * 8 * 9 * 11 * 4  # bytes


def bench(*cases, **options):
    return list(bench_layers(cases, PEAK, **dict(dict(turns=3), **options)))


def test_both_passes_report_times_memory_and_bounds():
    lines = []
    inference, training = bench(SCSA_CASE, log=lines.append)
    assert lines == ['SCSA 2x8x9x11, inference', 'SCSA 2x8x9x11, training step']
    assert (inference.training, training.training) == (False, True)
    for result in (inference, training):
        for form in (result.eager, result.reference):
            assert len(form.seconds) == 3 and min(form.seconds) > 0 and form.memory >= MAP
        assert result.reference.bytes_moved > result.min_bytes
        assert result.error < 1e-5 and result.compiled is None and result.notes == []
        assert result.speedup.lower > 0 and result.roofline_ratio.median > 0
        assert result.roofline == result.min_bytes / 1e3
    parameters = 16 * 8 * 4
    assert inference.min_bytes == 4 * MAP + parameters
    assert training.min_bytes == 9 * MAP + 2 * parameters
    assert training.macs == 3 * inference.macs > 0
    saved = json.loads(json.dumps(inference.to_dict()))
    assert saved['speedup']['median'] == inference.speedup.median and saved['compiled_speedup'] is None


def test_case_without_reference_has_no_speedup_and_error():
    result, = bench(replace(SCSA_CASE, reference=None), training=False)
    assert result.eager.seconds and result.reference is result.speedup is result.error is None
    json.dumps(result.to_dict())


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('case', [SCSA_CASE, CLA_CASE], ids=['SCSA', 'CLA'])
def test_forms_agree_in_half_precision(case, dtype):
    for result in bench(case, dtype=dtype, turns=1):
        assert result.error < benchmark.TOLERANCE[dtype]


@pytest.mark.parametrize('scale, passes', [(1.01, 'inference'), (1, 'training step')])
def test_disagreement_is_rejected(scale, passes):
    def wrong(layer, x):  # output wrong by 1%, or only its gradient
        return scale * layer.forward_reference((x.detach() + x) / 2)

    lines = []
    with pytest.raises(ValueError, match='SCSA 2x8x9x11: the relative error .* must be at most 0.002'):
        bench(replace(SCSA_CASE, reference=wrong), log=lines.append)
    assert lines[-1].endswith(passes)


def test_reference_that_does_not_fit_is_skipped(monkeypatch):
    monkeypatch.setattr(benchmark, 'available_memory', lambda device: 8 * 2**30)
    inference, training = bench(replace(SCSA_CASE, reference_numel=(2**30, 2**30 + 1)))  # elements of four bytes
    assert inference.reference and not inference.notes
    assert training.reference is None and training.eager.seconds
    assert training.notes == ['reference form skipped: it needs at least 4.0 GiB, and 8.0 GiB are free']


def test_failed_compilation_is_noted(monkeypatch):
    def fail(*maps):
        raise RuntimeError('no compiler\nand details')

    monkeypatch.setattr(torch, 'compile', lambda module, fullgraph: fail)
    result, = bench(SCSA_CASE, training=False, compiled=True)
    assert result.compiled is None and result.reference.seconds
    assert result.notes == ['torch.compile: RuntimeError: no compiler']


@pytest.mark.slow
def test_compiled_layer_is_timed():
    for result in bench(SCSA_CASE, compiled=True):
        assert len(result.compiled.seconds) == 3 and result.compiled_speedup.median > 0
        assert result.compiled.bytes_moved is None and result.notes == []


def test_turns_must_be_positive():
    with pytest.raises(ValueError, match='turns must be at least 1, got 0'):
        bench(SCSA_CASE, turns=0)


def test_cases_have_the_sizes_of_their_models():
    titles = [f'{case.layer} {case.title}' for case in select()]
    assert len(titles) == len(set(titles)) == 8 + 2 + 1 + 8
    assert titles[0] == 'SCSA 32x64x56x56' and 'SCSA 1x512x25x42' in titles
    quadratic, = select(['CLA'], 'levels 2 and 3, patch_size=1')
    assert min(quadratic.reference_numel) >= 64**2 * 32**2 * (320 + 256)
    module, inputs = select(['CLA'], 'levels 1 and 4')[0].build()
    assert [x.shape[1:] for x in inputs] == [(64, 128, 128), (512, 16, 16), (256, 16, 16)]
    assert module(*inputs).shape == (1, 256, 128, 128)


def test_select_rejects_unknown_titles():
    with pytest.raises(ValueError, match="'3x3' must be part of a title of SCSA:\n  32x64x56x56"):
        select(['SCSA'], '3x3')
