"""The report's plots, as SVG text to stand in a page."""

import io
import json
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from ...profiling.timing import spread
from ..result import labels
from .accuracy import accuracies, class_values, form_of, mean

COLOURS = ['#555555', '#0072b2', '#d55e00', '#009e73', '#cc79a7']  # told apart by colour-blind readers, too
STYLES = ['-', '--', '-.', ':']
STYLE = {'font.size': 9, 'axes.spines.top': False, 'axes.spines.right': False, 'svg.fonttype': 'none',
         'svg.hashsalt': 'mmxattn'}  # text stays text; the same numbers give the same file


def plots(comparison):
    """Every plot that the comparison has numbers for.

    Args:
        comparison (Comparison): The result.

    Returns:
        list[tuple[str, str]]: Caption and SVG.
    """
    with matplotlib.rc_context(STYLE):
        made = [(caption, draw(comparison)) for caption, draw in PLOTS]
        return [(caption, _svg(figure)) for caption, figure in made if figure]


def accuracy_and_latency(comparison):
    """One point a recipe: the main metric against the latency of one image, with its spread and standard deviation."""
    metric, names = main_metric(comparison), labels(comparison)
    if metric is None or not all(candidate.speed and candidate.speed[0].inference
                                 for candidate in comparison.candidates):
        return None
    figure, axes = _axes()
    for place, (name, candidate) in enumerate(zip(names, comparison.candidates)):
        latency = spread(candidate.speed[0].inference['1'])
        values = [run.metrics[metric] for run in candidate.runs]
        error = [[(latency.median - latency.lower) * 1000], [(latency.upper - latency.median) * 1000]]
        axes.errorbar(latency.median * 1000, np.mean(values), xerr=error, yerr=np.std(values, ddof=1) if len(
            values) > 1 else None, marker='os^D'[place % 4], color=_colour(place), capsize=3, label=name)
    axes.set(xlabel='latency of one image (ms)', ylabel=metric)
    axes.margins(0.3)
    axes.legend(frameon=False)
    return figure


def by_size(comparison):
    """AP of small, medium and large objects."""
    sizes = ['AP_S', 'AP_M', 'AP_L']
    metrics = [[run.metrics for run in candidate.runs] for candidate in comparison.candidates]
    if not all(runs and all(size in run for run in runs for size in sizes) for runs in metrics):
        return None
    values = [[np.mean([run[size] if run[size] is not None else 0 for run in runs]) for size in sizes]
              for runs in metrics]
    return _bars(['small', 'medium', 'large'], values, labels(comparison), 'AP')


def class_differences(comparison):
    """What each class gains or loses, sorted."""
    found = accuracies(comparison)
    if not found:
        return None
    metric = 'AP' if found[0][0].task == 'detection' else 'IoU'
    changes = []
    for name in found[0][0].classes:
        values = [mean(class_values(own, name, metric)) for own in (found[0], found[-1])]
        if None not in values:
            changes.append((values[1] - values[0], name))
    if not changes:
        return None
    changes.sort()
    figure, axes = _axes(height=max(2.2, 0.22 * len(changes) + 0.8))
    axes.barh([name for _, name in changes], [change for change, _ in changes],
              color=[COLOURS[1] if change >= 0 else COLOURS[2] for change, _ in changes])
    axes.axvline(0, color='black', linewidth=0.8)
    names = labels(comparison)
    axes.set(xlabel=f'{metric} of {names[-1]} minus {metric} of {names[0]}')
    return figure


def precision_recall(comparison):
    """Precision at each recall, mean over classes and runs."""
    found = [[accuracy.curves for accuracy in own] for own in accuracies(comparison)]
    if not found or None in found[0]:
        return None
    figure, axes = _axes()
    for place, (name, curves) in enumerate(zip(labels(comparison), found)):
        for style, iou in zip(STYLES, ('0.5', '0.75')):
            axes.plot(curves[0]['recall'], np.mean([curve[iou] for curve in curves], axis=0), style,
                      color=_colour(place), label=f'{name}, IoU {iou}')
    axes.set(xlabel='recall', ylabel='precision, mean over classes', xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(frameon=False)
    return figure


def loss_curves(comparison):
    """The training loss of each run, smoothed."""
    figure, axes = _axes()
    for place, (name, candidate) in enumerate(zip(labels(comparison), comparison.candidates)):
        for number, run in enumerate(candidate.runs):
            steps, losses = losses_of(run) if run.training else ([], [])
            if steps:
                axes.plot(steps, _smoothed(losses), STYLES[number % len(STYLES)], color=_colour(place), linewidth=1,
                          label=name if run.seed is None else f'{name}, seed {run.seed}')
    if not axes.lines:
        return None
    axes.set(xlabel='training step', ylabel='loss (moving average)')
    axes.legend(frameon=False)
    return figure


def error_types(comparison):
    """AP50 lost to each type of error."""
    found = [[accuracy.errors for accuracy in own] for own in accuracies(comparison)]
    if not found or None in found[0]:
        return None
    kinds = list(found[0][0])
    values = [[mean([errors[kind]['ap_lost'] for errors in own]) for kind in kinds] for own in found]
    return _bars(kinds, values, labels(comparison), 'AP50 lost')


def main_metric(comparison):
    """AP or mIoU, else the first that every run has a value of; None where nothing is trained."""
    runs = [run for candidate in comparison.candidates for run in candidate.runs]
    if not runs or not all(candidate.runs for candidate in comparison.candidates):
        return None
    names = ['AP', 'mIoU', *runs[0].metrics]
    return next((name for name in names if all(run.metrics.get(name) is not None for run in runs)), None)


def losses_of(run):
    """The losses that training logged.

    Args:
        run (Run): Its checkpoint lies in the folder of its training.

    Returns:
        tuple[list[int], list[float]]: Steps and losses; empty where the recipe has no LocalVisBackend.
    """
    logged = {}
    for path in sorted(Path(run.checkpoint).parent.glob('*/vis_data/scalars.json')):  # one a start of the training
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            if 'loss' in entry and 'step' in entry:
                logged[entry['step']] = entry['loss']
    return sorted(logged), [logged[step] for step in sorted(logged)]


def _smoothed(values, window=5):
    padded = np.concatenate([np.repeat(values[0], window - 1), values])
    return np.convolve(padded, np.ones(window) / window, 'valid')


def _bars(groups, series, names, label):
    figure, axes = _axes()
    width = 0.8 / len(series)
    for place, (name, values) in enumerate(zip(names, series)):
        at = np.arange(len(groups)) + (place - (len(series) - 1) / 2) * width
        bars = axes.bar(at, values, width, color=_colour(place), label=name)
        axes.bar_label(bars, fmt=f'%{form_of(label)}', fontsize=7, padding=2)
    axes.set_xticks(range(len(groups)), groups, **(dict(rotation=20, ha='right') if len(groups) > 4 else {}))
    axes.set(ylabel=label)
    axes.margins(y=0.15)
    axes.legend(frameon=False)
    return figure


def _axes(width=5.2, height=3.2):
    figure = Figure((width, height), layout='constrained')
    return figure, figure.add_subplot()


def _colour(place):
    return COLOURS[place % len(COLOURS)]


def _svg(figure):
    file = io.StringIO()
    figure.savefig(file, format='svg', metadata=dict(Date=None))
    text = file.getvalue()
    return text[text.index('<svg'):]


PLOTS = [
    ('Accuracy against latency', accuracy_and_latency),
    ('AP by size of the object', by_size),
    ('What each class gains', class_differences),
    ('Precision and recall', precision_recall),
    ('Training loss', loss_curves),
    ('AP50 lost to each type of error', error_types),
]
