"""Numbers of every table for the comparison in conftest.py."""

from dataclasses import replace

from mmxattn.comparison.report.accuracy import accuracy_table, difference_table, significance_note
from mmxattn.comparison.report.complexity import complexity_table, differing_modules
from mmxattn.comparison.report.tables import summary_table, tables_by_heading
from mmxattn.profiling.complexity import ModuleCost
from mmxattn.profiling.crosscheck import Crosscheck


def texts(comparison):
    """Return the texts of all cells by table and row."""
    tables = [table for own in tables_by_heading(comparison).values() for table in own]
    return {table.title: {row.name: row.texts() for row in table.rows} for table in tables}


def keep_one_run(comparison):
    for recipe in comparison.recipes:
        del recipe.runs[1:]


def test_tables_are_grouped_by_heading(comparison):
    headings = {heading: [table.title for table in own] for heading, own in tables_by_heading(comparison).items()}
    assert headings == {
        'Complexity': ['Complexity', 'Uncounted operators'],
        'Speed': ['Speed'],
        'Accuracy': ['Accuracy', 'Difference from fpn', 'AP by class', 'AP50 by class', 'Operating point',
                     'Error types'],
    }


def test_complexity_lists_modules_that_differ(comparison):
    rows = texts(comparison)['Complexity']
    assert rows['Parameters (M)'] == ['2.000', '2.500 (+0.500)']
    assert rows['MACs (G)'] == ['4.000', '4.500 (+0.500)']
    assert rows['FLOPs (G)'] == ['8.000', '9.000 (+1.000)']
    assert rows['backbone (ResNet): parameters (M)'] == ['1.000', '1.000 (+0.000)']
    assert rows['neck (FPN | FINEFPN): parameters (M)'] == ['1.000', '1.500 (+0.500)']
    assert rows['neck.fine (ModuleList): parameters (M)'] == ['-', '0.527']
    assert not any(name.startswith(('backbone.conv1', 'neck.convs', 'neck.fine.0')) for name in rows)


def test_small_modules_have_a_smaller_unit(comparison):
    for recipe in comparison.recipes:
        recipe.complexity.modules['neck.convs'] = ModuleCost('ModuleList', 700, 20_000)
    comparison.candidates[0].complexity.modules['neck.convs'] = ModuleCost('ModuleList', 900, 30_000)
    rows = texts(comparison)['Complexity']
    assert rows['neck.convs (ModuleList): parameters (k)'] == ['0.700', '0.900 (+0.200)']
    assert rows['neck.convs (ModuleList): FLOPs (M)'] == ['0.040', '0.060 (+0.020)']
    assert rows['neck (FPN | FINEFPN): parameters (M)'] == ['1.000', '1.500 (+0.500)']


def test_differing_modules_are_opened():
    same, one, other = ModuleCost('Conv2d', 1, 1), ModuleCost('Block', 1, 1), ModuleCost('Block', 2, 2)
    first = {'a': one, 'a.same': same, 'a.x': one, 'a.x.deep': one, 'b': same, 'b.c': same}
    second = {'a': other, 'a.same': same, 'a.x': other, 'a.x.deep': other, 'b': same, 'b.c': same, 'a.new': same}
    assert differing_modules([first, second]) == ['a', 'a.x', 'a.x.deep', 'a.new', 'b']


def test_crosscheck_is_described(comparison):
    baseline, candidate = comparison.recipes
    baseline.complexity = replace(
        baseline.complexity, crosscheck=Crosscheck(None, [], 'RuntimeError: cannot be traced'))
    candidate.complexity = replace(candidate.complexity, crosscheck=Crosscheck(7, [['neck', 1000, 7]]))
    note = complexity_table(comparison).note
    assert 'fpn: not cross-checked (RuntimeError: cannot be traced).' in note
    assert 'fine-fpn: the tracing counter of mmengine disagrees in neck (7 MACs instead of 1,000).' in note


def test_uncounted_operators_list_calls_and_elements(comparison):
    assert texts(comparison)['Uncounted operators'] == {'aten.relu_': ['7', '3.500', '7', '3.500']}


def test_accuracy_is_mean_and_deviation_over_seeds(comparison):
    tables = texts(comparison)
    assert tables['Accuracy']['AP'] == ['0.410 ±0.014', '0.420 ±0.014 (+0.010)']
    assert tables['Accuracy']['AP_S'] == ['-', '-']
    assert tables['Accuracy']['Training time per run (min)'] == ['2.0', '2.0']
    assert tables['Difference from fpn'] == {
        'AP, seed 0': ['+0.030 (+0.010 to +0.050)'], 'AP, seed 1': ['-0.010 (-0.030 to +0.020)'],
        'AP, over 2 seeds': ['+0.010 ±0.028']}
    assert 'over 2 seeds (0, 1)' in significance_note(comparison)


def test_single_seed_is_inconclusive(comparison):
    keep_one_run(comparison)
    assert accuracy_table(comparison).note.startswith(
        'AP and AR are defined as in COCO and range from 0 to 1. A single seed (0) is inconclusive')
    assert [row.name for row in difference_table(comparison).rows] == ['AP, seed 0']
    for recipe in comparison.recipes:
        recipe.runs[0].seed = None
    assert 'A single checkpoint per recipe is inconclusive' in significance_note(comparison)


def test_classes_errors_and_operating_point(comparison):
    comparison.candidates[0].runs[1].accuracy.operating_point['overall'].update(tp=33)
    tables = texts(comparison)
    assert tables['AP by class']['cat'] == ['0.510 ±0.014', '0.520 ±0.014 (+0.010)']
    assert tables['AP50 by class']['dog'] == ['-', '-']
    assert tables['Operating point']['True positives'] == ['30.0 ±0.0', '31.5 ±2.1 (+1.5)']
    assert tables['Operating point']['F1'] == ['0.667 ±0.000', '0.667 ±0.000 (+0.000)']
    assert tables['Error types']['missed: AP50 lost'] == ['0.050 ±0.000', '0.050 ±0.000 (+0.000)']

    keep_one_run(comparison)
    tables = texts(comparison)
    assert tables['AP by class']['cat'] == ['0.500', '0.530 (+0.030)']
    assert tables['Operating point']['True positives'] == ['30', '30 (+0)']
    assert tables['Error types']['missed: count'] == ['3', '3 (+0)']


def test_speed_ratios_are_paired_by_turn(comparison):
    rows = texts(comparison)['Speed']
    assert rows['fp32: latency, p50 of 3 (ms)'] == ['20.0', '40.0 (x2.000, 2.000 to 2.000)']
    assert rows['fp32: latency, p95 (ms)'] == ['29.0', '58.0 (x2.000)']
    assert rows['fp32: throughput, batch size 4 (images/s)'] == ['100.0', '50.0 (x0.500)']
    assert rows['fp32: training step, batch size 16, p50 of 1 (ms)'] == ['100.0', '200.0 (x2.000, 2.000 to 2.000)']
    assert rows['fp32: peak memory, training step (MiB)'] == ['3.0', '3.0 (x1.000)']


def test_failed_mode_shows_its_error(comparison):
    for recipe in comparison.recipes:
        recipe.speed[0].failure = 'RuntimeError: no such kernel'
    assert texts(comparison)['Speed'] == {'fp32: failed': ['RuntimeError: no such kernel'] * 2}


def test_receptive_fields_are_compared_by_stage(comparison):
    stage = dict(name='neck.0', sigma=12.5, sigma_ratio=None, area_ratios={'20%': 0.01, '99%': 0.5}, images=4)
    other = dict(stage, sigma=15.0, sigma_ratio=2.0)
    comparison.visualization = [dict(title='Effective receptive field', numbers={'fpn': [stage], 'fine-fpn': [other]})]
    assert texts(comparison)['Effective receptive field: size'] == {
        'neck.0: sigma (px)': ['12.5', '15.0 (+2.5)'], 'neck.0: sigma ratio to previous stage': ['-', '2.00'],
        'neck.0: area of 20% (%)': ['1.0', '1.0 (+0.0)'], 'neck.0: area of 99% (%)': ['50.0', '50.0 (+0.0)']}


def test_summary_selects_the_main_rows(comparison):
    assert [row.name for row in summary_table(comparison).rows] == [
        'Parameters (M)', 'MACs (G)', 'AP', 'AP50', 'AP_S', 'AP_M', 'AP_L', 'Training time per run (min)',
        'fp32: latency, p50 of 3 (ms)', 'fp32: training step, batch size 16, p50 of 1 (ms)']


def test_random_weights_are_noted(comparison):
    assert 'random weights' not in summary_table(comparison).note
    for recipe in comparison.recipes:
        recipe.runs, recipe.differences = [], []
    assert 'speed and visualization use random weights' in summary_table(comparison).note
    for recipe in comparison.recipes:
        recipe.speed = []
    assert summary_table(comparison).note == ''  # complexity does not depend on weights


def test_unfinished_comparison_has_the_finished_tables(comparison):
    for recipe in comparison.recipes:
        recipe.complexity, recipe.runs, recipe.differences = None, [], []
    assert list(texts(comparison)) == ['Speed']
