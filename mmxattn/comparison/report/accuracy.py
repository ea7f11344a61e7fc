"""Tables of how good models are: metrics, the differences and their luck, classes, operating point, error types."""

import statistics

from ..result import labels
from .table import Cell, Row, Table, differences

PERCENT = ('mIoU', 'aAcc', 'mAcc', 'mIoU@small', 'IoU', 'Acc')  # the others are from 0 to 1
COUNTS = ('tp', 'fp', 'fn')


def form_of(metric):
    """Format of a metric's values."""
    return '.2f' if metric in PERCENT else '.3f'


def accuracy_table(comparison):
    """Every metric, mean and standard deviation over seeds.

    Args:
        comparison (Comparison): Its candidates' runs are used.

    Returns:
        Table: Empty where nothing is trained.
    """
    candidates = comparison.candidates
    table = Table('How good', labels(comparison), note=luck(comparison))
    if not all(candidate.runs for candidate in candidates):
        return table
    for metric in candidates[0].runs[0].metrics:
        values = [_known(run.metrics.get(metric) for run in candidate.runs) for candidate in candidates]
        table.rows.append(Row(metric, means(values), form_of(metric)))
    if all(run.training for candidate in candidates for run in candidate.runs):
        minutes = [statistics.fmean(run.training.seconds for run in candidate.runs) / 60 for candidate in candidates]
        table.rows.append(Row('Training time of a run (min)', [Cell(value) for value in minutes], '.1f'))
    return table


def means(values):
    """Cells of the mean and the standard deviation over runs, all but the first with their difference from it.

    Args:
        values (list[list[float]]): The runs' values, one list a recipe; an empty one where there is none.

    Returns:
        list[Cell]: One a recipe.
    """
    cells = differences([mean(own) for own in values])
    for cell, own in zip(cells, values):
        cell.spread = statistics.stdev(own) if len(own) > 1 else None
    return cells


def mean(values):
    """The mean; None of nothing, and the value itself, a whole number too, where there is but one."""
    return statistics.fmean(values) if len(values) > 1 else next(iter(values), None)


def luck(comparison):
    """Sentences: how far can these differences be trusted?"""
    runs = max((len(candidate.runs) for candidate in comparison.candidates), default=0)
    seeds = [run.seed for candidate in comparison.candidates[:1] for run in candidate.runs if run.seed is not None]
    units = _units({metric for candidate in comparison.candidates for run in candidate.runs for metric in run.metrics})
    if runs > 1:
        return f'{units}Mean ± standard deviation over {runs} seeds ({", ".join(map(str, seeds))}).'
    trained = f'One seed ({seeds[0]})' if seeds else 'One checkpoint a recipe'
    return (f'{units}{trained} decides nothing: another seed moves these numbers, often by more than the parts differ. '
            f'Train with several (--train --seeds 0 1 2).')


def _units(metrics):
    if metrics & set(PERCENT):
        return 'IoU and accuracies are in percent. '
    return 'AP and AR are as COCO defines them, from 0 to 1. ' if 'AP' in metrics else ''


def difference_table(comparison):
    """Differences from the first recipe: of each run with an interval over images, and over seeds.

    Args:
        comparison (Comparison): Its candidates' runs and differences are used.

    Returns:
        Table: Empty where nothing is trained.
    """
    first, *others = comparison.candidates
    table = Table(f'Differences from {labels(comparison)[0]}', labels(comparison)[1:], note=(
        'For each run the difference of one recipe from the other on the same images, with the 95% interval of a '
        'paired bootstrap over images: it tells the luck of the images, not of the seed. Over seeds: mean ± standard '
        'deviation of the runs\' differences.'))
    if not all(candidate.differences for candidate in others):
        return table
    for metric in dict.fromkeys(name for candidate in others for run in candidate.differences for name in run):
        form = f'+{form_of(metric)}'
        for place, run in enumerate(first.runs):
            what = f'seed {run.seed}' if run.seed is not None else 'these weights'
            cells = [Cell(**_interval(candidate, place, metric)) for candidate in others]
            table.rows.append(Row(f'{metric}, {what}', cells, form))
        if len(first.runs) > 1:
            over_seeds = [_known(run.get(metric, {}).get('difference') for run in candidate.differences)
                          for candidate in others]
            table.rows.append(Row(f'{metric}, over {len(first.runs)} seeds', [
                Cell(statistics.fmean(own), spread=statistics.stdev(own)) if len(own) > 1 else Cell()
                for own in over_seeds], form))
    return table


def _interval(candidate, place, metric):
    found = candidate.differences[place].get(metric) if place < len(candidate.differences) else None
    return dict(value=found['difference'], lower=found['lower'], upper=found['upper']) if found else {}


def class_tables(comparison):
    """The main metrics class by class, those first whose difference from the first recipe is largest.

    Args:
        comparison (Comparison): The accuracy of each candidate's runs is used.

    Returns:
        list[Table]: One a metric; none where nothing is trained.
    """
    found = accuracies(comparison)
    if not found:
        return []
    metrics = ('AP', 'AP50') if found[0][0].task == 'detection' else ('IoU', )
    return [_class_table(comparison, found, metric) for metric in metrics]


def class_values(accuracy_of_runs, name, metric):
    """One class's metric in each run that has it."""
    return _known((accuracy.per_class.get(name) or {}).get(metric) for accuracy in accuracy_of_runs)


def _class_table(comparison, found, metric):
    note = over_runs(comparison)
    if metric == 'IoU':
        small = [name for name, entry in found[0][0].per_class.items() if entry and entry['small']]
        note = f'mIoU@small is the mean over: {", ".join(small) or "no class"}. {note}'
    rows = [Row(name, means([class_values(own, name, metric) for own in found]), form_of(metric))
            for name in found[0][0].classes]
    rows.sort(key=lambda row: -(row.cells[-1].change or 0))
    return Table(f'{metric} by class', labels(comparison), rows, note)


def operating_table(comparison):
    """True and false positives at one score (FINE's Table 5).

    Args:
        comparison (Comparison): The accuracy of each candidate's runs is used.

    Returns:
        Table: Empty where nothing is trained, or it is no detector.
    """
    table = Table('Operating point', labels(comparison))
    points = [[accuracy.operating_point for accuracy in own] for own in accuracies(comparison)]
    if not points or None in points[0]:
        return table
    first = points[0][0]
    table.note = (f'Detections of score {first["score"]} and more; one is right if it meets an object of its class '
                  f'with an IoU of {first["iou"]} or more that no better one has met. {over_runs(comparison)}')
    for key, name in [('tp', 'True positives'), ('fp', 'False positives'), ('fn', 'False negatives'),
                      ('precision', 'Precision'), ('recall', 'Recall'), ('f1', 'F1')]:
        values = [_known(point['overall'][key] for point in own) for own in points]
        table.rows.append(Row(name, means(values), _form_of_counts(values) if key in COUNTS else '.3f'))
    return table


def error_table(comparison):
    """Error types: how many, and the AP50 that each costs.

    Args:
        comparison (Comparison): The accuracy of each candidate's runs is used.

    Returns:
        Table: Empty where nothing is trained, or it is no detector.
    """
    table = Table('Error types', labels(comparison), note=(
        'After TIDE: what each detection that is not right would need to become right, at an IoU of 0.5 (background '
        f'below 0.1). AP50 lost: what AP50 would gain if errors of that type were mended. {over_runs(comparison)}'))
    found = [[accuracy.errors for accuracy in own] for own in accuracies(comparison)]
    if not found or None in found[0]:
        return table
    for kind in found[0][0]:
        counts, lost = ([[errors[kind][what] for errors in own] for own in found] for what in ('count', 'ap_lost'))
        table.rows.append(Row(f'{kind}: number', means(counts), _form_of_counts(counts)))
        table.rows.append(Row(f'{kind}: AP50 lost', means(lost), '.3f'))
    return table


def accuracies(comparison):
    """Of each candidate the accuracy of its runs, or nothing where a candidate has none."""
    found = [[run.accuracy for run in candidate.runs if run.accuracy] for candidate in comparison.candidates]
    return found if all(found) else []


def over_runs(comparison):
    """A sentence where there are several runs: what a number is then."""
    runs = max((len(candidate.runs) for candidate in comparison.candidates), default=0)
    return f'Mean ± standard deviation over {runs} seeds.' if runs > 1 else ''


def _form_of_counts(values):
    return 'd' if all(len(own) == 1 for own in values) else '.1f'


def _known(values):
    return [value for value in values if value is not None]
