"""Every table of the comparison of the conftest, number by number."""

from dataclasses import replace

from mmxattn.comparison.report.accuracy import accuracy_table, difference_table, luck
from mmxattn.comparison.report.complexity import differing_modules
from mmxattn.comparison.report.tables import at_a_glance, tables
from mmxattn.profiling.complexity import ModuleCost
from mmxattn.profiling.crosscheck import SecondCount


def shown(comparison):
    return {table.title: {row.name: row.texts() for row in table.rows} for table in tables(comparison)}


def test_costs_down_to_the_swapped_part(comparison):
    costs = shown(comparison)['What it costs']
    assert costs['Parameters (M)'] == ['2.000', '2.500 (+0.500)']
    assert costs['MACs (G)'] == ['4.000', '4.500 (+0.500)']
    assert costs['FLOPs (G)'] == ['8.000', '9.000 (+1.000)']
    assert costs['backbone (ResNet): parameters (M)'] == ['1.000', '1.000 (+0.000)']
    assert costs['neck (FPN | FINEFPN): parameters (M)'] == ['1.000', '1.500 (+0.500)']
    assert costs['neck.fine (ModuleList): parameters (M)'] == ['-', '0.527']
    assert not any(name.startswith(('backbone.conv1', 'neck.convs', 'neck.fine.0')) for name in costs)


def test_a_second_opinion_is_told(comparison):
    stock, fine = (candidate.complexity for candidate in comparison.candidates)
    comparison.candidates[0].complexity = replace(stock, second=SecondCount(None, [], 'RuntimeError: no trace'))
    comparison.candidates[1].complexity = replace(fine, second=SecondCount(7, [['neck', 1000, 7]]))
    told = tables(comparison)[0].note
    assert 'fpn: not counted a second time (RuntimeError: no trace).' in told
    assert 'fine-fpn: mmengine\'s counter, which traces the model, differs in neck (7 MACs, not 1,000).' in told


def test_modules_that_differ_are_opened():
    from mmxattn.profiling.complexity import ModuleCost
    same, one, other = ModuleCost('Conv2d', 1, 1), ModuleCost('Block', 1, 1), ModuleCost('Block', 2, 2)
    first = {'a': one, 'a.same': same, 'a.x': one, 'a.x.deep': one, 'b': same, 'b.c': same}
    second = {'a': other, 'a.same': same, 'a.x': other, 'a.x.deep': other, 'b': same, 'b.c': same, 'a.new': same}
    assert differing_modules([first, second]) == ['a', 'a.x', 'a.x.deep', 'a.new', 'b']


def test_what_no_rule_counts_is_listed(comparison):
    assert shown(comparison)['Uncounted operators'] == {'aten.relu_': ['7', '3.500', '7', '3.500']}


def test_accuracy_over_seeds(comparison):
    found = shown(comparison)
    assert found['How good']['AP'] == ['0.410 ±0.014', '0.420 ±0.014 (+0.010)']
    assert found['How good']['AP_S'] == ['-', '-']
    assert found['How good']['Training time of a run (min)'] == ['2.0', '2.0']
    assert found['Differences from fpn'] == {
        'AP, seed 0': ['+0.030 (+0.010 to +0.050)'], 'AP, seed 1': ['-0.010 (-0.030 to +0.020)'],
        'AP, over 2 seeds': ['+0.010 ±0.028']}
    assert 'over 2 seeds (0, 1)' in luck(comparison)


def test_one_seed_decides_nothing(comparison):
    for candidate in comparison.candidates:
        del candidate.runs[1:]
    assert accuracy_table(comparison).note.startswith('AP and AR are as COCO defines them, from 0 to 1. One seed (0) '
                                                      'decides nothing')
    assert [row.name for row in difference_table(comparison).rows] == ['AP, seed 0']
    for candidate in comparison.candidates:
        candidate.runs[0].seed = None
    assert 'One checkpoint a recipe decides nothing' in luck(comparison)


def test_classes_errors_and_the_operating_point(comparison):
    comparison.candidates[1].runs[1].accuracy.operating_point['overall'].update(tp=33)
    found = shown(comparison)
    assert found['AP by class']['cat'] == ['0.510 ±0.014', '0.520 ±0.014 (+0.010)']
    assert found['AP50 by class']['dog'] == ['-', '-']
    assert found['Operating point']['True positives'] == ['30.0 ±0.0', '31.5 ±2.1 (+1.5)']
    assert found['Operating point']['F1'] == ['0.667 ±0.000', '0.667 ±0.000 (+0.000)']
    assert found['Error types']['missed: AP50 lost'] == ['0.050 ±0.000', '0.050 ±0.000 (+0.000)']

    for candidate in comparison.candidates:
        del candidate.runs[1:]
    found = shown(comparison)
    assert found['AP by class']['cat'] == ['0.500', '0.530 (+0.030)']
    assert found['Operating point']['True positives'] == ['30', '30 (+0)']
    assert found['Error types']['missed: number'] == ['3', '3 (+0)']


def test_small_costs_are_told_in_a_smaller_unit(comparison):
    for candidate in comparison.candidates:
        candidate.complexity.modules['neck.convs'] = ModuleCost('ModuleList', 700, 20_000)
    comparison.candidates[1].complexity.modules['neck.convs'] = ModuleCost('ModuleList', 900, 30_000)
    found = shown(comparison)['What it costs']
    assert found['neck.convs (ModuleList): parameters (k)'] == ['0.700', '0.900 (+0.200)']
    assert found['neck.convs (ModuleList): FLOPs (M)'] == ['0.040', '0.060 (+0.020)']
    assert found['neck (FPN | FINEFPN): parameters (M)'] == ['1.000', '1.500 (+0.500)']


def test_times_are_compared_turn_by_turn(comparison):
    found = shown(comparison)['How fast']
    assert found['fp32: latency of one image, p50 of 3 (ms)'] == ['20.0', '40.0 (x2.000, 2.000 to 2.000)']
    assert found['fp32: p95 (ms)'] == ['29.0', '58.0 (x2.000)']
    assert found['fp32: throughput, 4 at a time (images/s)'] == ['100.0', '50.0 (x0.500)']
    assert found['fp32: training step, batch 16, p50 of 1 (ms)'] == ['100.0', '200.0 (x2.000, 2.000 to 2.000)']
    assert found['fp32: peak memory of a training step (MiB)'] == ['3.0', '3.0 (x1.000)']


def test_receptive_fields_stage_by_stage(comparison):
    assert 'Size of receptive fields' not in shown(comparison)
    stage = dict(name='neck.0', sigma=12.5, sigma_ratio=None, area_ratios={'20%': 0.01, '99%': 0.5}, images=4)
    other = dict(stage, sigma=15.0, sigma_ratio=2.0)
    comparison.looks = [dict(title='Effective receptive field', numbers={'fpn': [stage], 'fine-fpn': [other]})]
    assert shown(comparison)['Size of receptive fields'] == {
        'neck.0: sigma (px)': ['12.5', '15.0 (+2.5)'], 'neck.0: ratio to the stage before': ['-', '2.00'],
        'neck.0: area of 20% (%)': ['1.0', '1.0 (+0.0)'], 'neck.0: area of 99% (%)': ['50.0', '50.0 (+0.0)']}


def test_a_mode_that_failed_says_why(comparison):
    for candidate in comparison.candidates:
        candidate.speed[0].failure = 'RuntimeError: no such kernel'
    assert shown(comparison)['How fast'] == {'fp32: given up': ['RuntimeError: no such kernel'] * 2}


def test_at_a_glance(comparison):
    assert [row.name for row in at_a_glance(comparison).rows] == [
        'Parameters (M)', 'MACs (G)', 'AP', 'AP50', 'AP_S', 'AP_M', 'AP_L',
        'Training time of a run (min)', 'fp32: latency of one image, p50 of 3 (ms)',
        'fp32: training step, batch 16, p50 of 1 (ms)']


def test_random_weights_are_told(comparison):
    assert 'random weights' not in at_a_glance(comparison).note
    for candidate in comparison.candidates:
        candidate.runs, candidate.differences = [], []
    assert 'timings and pictures are of models with random weights' in at_a_glance(comparison).note
    for candidate in comparison.candidates:
        candidate.speed = []
    assert at_a_glance(comparison).note == ''  # costs alone do not depend on weights


def test_half_way_there_is_what_there_is(comparison):
    for candidate in comparison.candidates:
        candidate.complexity, candidate.runs, candidate.differences = None, [], []
    assert list(shown(comparison)) == ['How fast']
