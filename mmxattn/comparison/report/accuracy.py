"""Tables of accuracy: metrics, differences with intervals, classes, operating point and error types."""

import statistics
from collections.abc import Iterable, Sequence

from ..accuracy import Accuracy
from ..result import Comparison, RecipeResult, short_names
from .table import Cell, Row, Table, differences

PERCENT = ('mIoU', 'aAcc', 'mAcc', 'mIoU@small', 'IoU', 'Acc')  # other metrics range from 0 to 1
COUNTS = ('tp', 'fp', 'fn')
OPERATING_POINT_ROWS = {
    'tp': 'True positives', 'fp': 'False positives', 'fn': 'False negatives', 'precision': 'Precision',
    'recall': 'Recall', 'f1': 'F1',
}


def metric_format(metric: str) -> str:
    """Return the format spec of a metric."""
    return '.2f' if metric in PERCENT else '.3f'


def accuracy_table(comparison: Comparison) -> Table:
    """List every metric as mean and standard deviation over seeds; empty without trained weights."""
    recipes = comparison.recipes
    table = Table('Accuracy', short_names(comparison), note=significance_note(comparison))
    if not all(recipe.runs for recipe in recipes):
        return table
    for metric in recipes[0].runs[0].metrics:
        values = [_drop_none(run.metrics.get(metric) for run in recipe.runs) for recipe in recipes]
        table.rows.append(Row(metric, mean_cells(values), metric_format(metric)))
    if all(run.training for recipe in recipes for run in recipe.runs):
        minutes = [statistics.fmean(run.training.seconds for run in recipe.runs) / 60 for recipe in recipes]
        table.rows.append(Row('Training time per run (min)', [Cell(value) for value in minutes], '.1f'))
    return table


def mean_cells(values: Sequence[Sequence[float]]) -> list[Cell]:
    """Create cells with mean and standard deviation over runs, and the difference of means from the baseline.

    Args:
        values: Values of the runs of each recipe; empty where there is none.

    Returns:
        One cell per recipe.
    """
    cells = differences([mean(own) for own in values])
    for cell, own in zip(cells, values):
        cell.spread = statistics.stdev(own) if len(own) > 1 else None
    return cells


def mean(values: Sequence[float]) -> float | None:
    """Return the mean, or None without values. A single value is returned unchanged, so that counts stay integers."""
    return statistics.fmean(values) if len(values) > 1 else next(iter(values), None)


def significance_note(comparison: Comparison) -> str:
    """Describe how far differences between the recipes can be trusted."""
    runs = [run for recipe in comparison.recipes for run in recipe.runs]
    units = _units_note({metric for run in runs for metric in run.metrics})
    seeds = [run.seed for run in comparison.baseline.runs if run.seed is not None]
    if _num_runs(comparison) > 1:
        return f'{units}{_over_seeds_note(comparison)}'
    weights = f'A single seed ({seeds[0]})' if seeds else 'A single checkpoint per recipe'
    return (f'{units}{weights} is inconclusive: another seed changes these numbers, often by more than the recipes '
            f'differ. Train with several seeds: --train --seeds 0 1 2.')


def difference_table(comparison: Comparison) -> Table:
    """List the differences from the baseline of each run and over seeds; empty without trained weights."""
    names, runs = short_names(comparison), comparison.baseline.runs
    table = Table(f'Difference from {names[0]}', names[1:], note=(
        'Each run: candidate minus baseline on the same images, with the 95% interval of a paired bootstrap over '
        'images, which accounts for the choice of images but not of the seed. Over seeds: mean ± standard deviation of '
        'these differences.'))
    if not all(candidate.differences for candidate in comparison.candidates):
        return table
    entries = [entry for candidate in comparison.candidates for entry in candidate.differences]
    for metric in dict.fromkeys(metric for entry in entries for metric in entry):
        form = f'+{metric_format(metric)}'
        for index, run in enumerate(runs):
            label = f'{metric}, seed {run.seed}' if run.seed is not None else metric
            cells = [_interval_cell(candidate, index, metric) for candidate in comparison.candidates]
            table.rows.append(Row(label, cells, form))
        if len(runs) > 1:
            cells = [_over_seeds_cell(candidate, metric) for candidate in comparison.candidates]
            table.rows.append(Row(f'{metric}, over {len(runs)} seeds', cells, form))
    return table


def class_tables(comparison: Comparison) -> list[Table]:
    """List the main metrics by class, sorted by the difference from the baseline; none without trained weights."""
    accuracies = accuracies_by_recipe(comparison)
    if not accuracies:
        return []
    metrics = ('AP', 'AP50') if accuracies[0][0].task == 'detection' else ('IoU', )
    return [_class_table(comparison, accuracies, metric) for metric in metrics]


def class_values(accuracies: Iterable[Accuracy], name: str, metric: str) -> list[float]:
    """Return a metric of one class in each run that has it."""
    return _drop_none((accuracy.per_class.get(name) or {}).get(metric) for accuracy in accuracies)


def operating_point_table(comparison: Comparison) -> Table:
    """List true and false positives at one score threshold (Table 5 of FINE); empty without detections."""
    table = Table('Operating point', short_names(comparison))
    points = [[accuracy.operating_point for accuracy in own] for own in accuracies_by_recipe(comparison)]
    if not points or None in points[0]:
        return table
    score, iou = points[0][0]['score'], points[0][0]['iou']
    table.note = (f'Detections with a score of at least {score}. A true positive overlaps an object of its class with '
                  f'an IoU of at least {iou}; if several do, only the one with the highest score counts. '
                  f'{_over_seeds_note(comparison)}')
    for key, name in OPERATING_POINT_ROWS.items():
        values = [_drop_none(point['overall'][key] for point in own) for own in points]
        table.rows.append(Row(name, mean_cells(values), _count_format(values) if key in COUNTS else '.3f'))
    return table


def error_table(comparison: Comparison) -> Table:
    """List the number of errors of each type and the AP50 that they cost; empty without detections."""
    table = Table('Error types', short_names(comparison), note=(
        'Error types of TIDE at a foreground IoU of 0.5 and a background IoU of 0.1. AP50 lost: the increase in AP50 '
        f'if all errors of the type were fixed. {_over_seeds_note(comparison)}'))
    errors = [[accuracy.errors for accuracy in own] for own in accuracies_by_recipe(comparison)]
    if not errors or None in errors[0]:
        return table
    for kind in errors[0][0]:
        counts, lost = ([[run[kind][key] for run in own] for own in errors] for key in ('count', 'ap_lost'))
        table.rows.append(Row(f'{kind}: count', mean_cells(counts), _count_format(counts)))
        table.rows.append(Row(f'{kind}: AP50 lost', mean_cells(lost), '.3f'))
    return table


def accuracies_by_recipe(comparison: Comparison) -> list[list[Accuracy]]:
    """Return the accuracy of the runs of each recipe, or an empty list if a recipe has none."""
    accuracies = [[run.accuracy for run in recipe.runs if run.accuracy] for recipe in comparison.recipes]
    return accuracies if all(accuracies) else []


def _class_table(comparison: Comparison, accuracies: list[list[Accuracy]], metric: str) -> Table:
    first, note = accuracies[0][0], _over_seeds_note(comparison)
    if metric == 'IoU':
        small = [name for name, entry in first.per_class.items() if entry and entry['small']]
        note = f'Classes of mIoU@small: {", ".join(small) or "none"}. {note}'
    rows = [Row(name, mean_cells([class_values(own, name, metric) for own in accuracies]), metric_format(metric))
            for name in first.classes]
    rows.sort(key=lambda row: -(row.cells[-1].change or 0))
    return Table(f'{metric} by class', short_names(comparison), rows, note)


def _interval_cell(candidate: RecipeResult, index: int, metric: str) -> Cell:
    entry = candidate.differences[index].get(metric) if index < len(candidate.differences) else None
    return Cell(entry['difference'], lower=entry['lower'], upper=entry['upper']) if entry else Cell()


def _over_seeds_cell(candidate: RecipeResult, metric: str) -> Cell:
    values = _drop_none(entry.get(metric, {}).get('difference') for entry in candidate.differences)
    return Cell(statistics.fmean(values), spread=statistics.stdev(values)) if len(values) > 1 else Cell()


def _num_runs(comparison: Comparison) -> int:
    return max(len(recipe.runs) for recipe in comparison.recipes)


def _over_seeds_note(comparison: Comparison) -> str:
    if _num_runs(comparison) < 2:
        return ''
    seeds = ', '.join(str(run.seed) for run in comparison.baseline.runs)
    return f'Mean ± standard deviation over {_num_runs(comparison)} seeds ({seeds}).'


def _units_note(metrics: set[str]) -> str:
    if metrics & set(PERCENT):
        return 'IoU and accuracy are in percent. '
    return 'AP and AR are defined as in COCO and range from 0 to 1. ' if 'AP' in metrics else ''


def _count_format(values: Sequence[Sequence[float]]) -> str:
    return 'd' if all(len(own) == 1 for own in values) else '.1f'


def _drop_none(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
