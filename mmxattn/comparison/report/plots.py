"""Plots of the report, as SVG text."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...profiling.timing import spread
from ..result import Comparison, Run, short_names
from .accuracy import accuracies_by_recipe, class_values, mean, metric_format

COLORS = ['#555555', '#0072b2', '#d55e00', '#009e73', '#cc79a7']  # distinguishable with color blindness
LINE_STYLES = ['-', '--', '-.', ':']
RC_PARAMS = {  # keep text as text, and make the files reproducible
    'font.size': 9, 'axes.spines.top': False, 'axes.spines.right': False, 'svg.fonttype': 'none',
    'svg.hashsalt': 'mmxattn',
}


def draw_plots(comparison: Comparison) -> list[tuple[str, str]]:
    """Draw every plot for which the comparison has data.

    Args:
        comparison: Comparison to plot.

    Returns:
        Caption and SVG of each plot.
    """
    with matplotlib.rc_context(RC_PARAMS):
        figures = [(caption, draw(comparison)) for caption, draw in PLOTS]
        return [(caption, _to_svg(figure)) for caption, figure in figures if figure]


def accuracy_against_latency(comparison: Comparison) -> Figure | None:
    """Plot the main metric of each recipe against the latency of one image, with error bars."""
    metric = main_metric(comparison)
    if metric is None or not all(recipe.speed and recipe.speed[0].inference for recipe in comparison.recipes):
        return None
    figure, axes = _figure()
    for index, (name, recipe) in enumerate(zip(short_names(comparison), comparison.recipes)):
        latency = spread(recipe.speed[0].inference['1'])
        values = [run.metrics[metric] for run in recipe.runs]
        axes.errorbar(
            latency.median * 1000, np.mean(values),
            xerr=[[(latency.median - latency.lower) * 1000], [(latency.upper - latency.median) * 1000]],
            yerr=np.std(values, ddof=1) if len(values) > 1 else None,
            marker='os^D'[index % 4], color=_color(index), capsize=3, label=name)
    axes.set(xlabel='latency of one image (ms)', ylabel=metric)
    axes.margins(0.3)
    axes.legend(frameon=False)
    return figure


def ap_by_object_size(comparison: Comparison) -> Figure | None:
    """Plot the AP of small, medium and large objects."""
    sizes = ['AP_S', 'AP_M', 'AP_L']
    metrics = [[run.metrics for run in recipe.runs] for recipe in comparison.recipes]
    if not all(runs and all(size in run for run in runs for size in sizes) for runs in metrics):
        return None
    values = [[np.mean([run[size] or 0 for run in runs]) for size in sizes] for runs in metrics]
    return _bar_plot(['small', 'medium', 'large'], values, short_names(comparison), 'AP')


def difference_by_class(comparison: Comparison) -> Figure | None:
    """Plot the difference of the last candidate from the baseline for each class, sorted."""
    accuracies = accuracies_by_recipe(comparison)
    if not accuracies:
        return None
    metric = 'AP' if accuracies[0][0].task == 'detection' else 'IoU'
    changes = []
    for name in accuracies[0][0].classes:
        before, after = (mean(class_values(own, name, metric)) for own in (accuracies[0], accuracies[-1]))
        if before is not None and after is not None:
            changes.append((after - before, name))
    if not changes:
        return None
    changes.sort()
    figure, axes = _figure(height=max(2.2, 0.22 * len(changes) + 0.8))
    axes.barh([name for _, name in changes], [change for change, _ in changes],
              color=[COLORS[1] if change >= 0 else COLORS[2] for change, _ in changes])
    axes.axvline(0, color='black', linewidth=0.8)
    names = short_names(comparison)
    axes.set(xlabel=f'{metric} of {names[-1]} minus {metric} of {names[0]}')
    return figure


def precision_recall(comparison: Comparison) -> Figure | None:
    """Plot precision against recall, averaged over classes and runs."""
    curves = [[accuracy.curves for accuracy in own] for own in accuracies_by_recipe(comparison)]
    if not curves or None in curves[0]:
        return None
    figure, axes = _figure()
    for index, (name, own) in enumerate(zip(short_names(comparison), curves)):
        for style, iou in zip(LINE_STYLES, ('0.5', '0.75')):
            axes.plot(own[0]['recall'], np.mean([curve[iou] for curve in own], axis=0), style, color=_color(index),
                      label=f'{name}, IoU {iou}')
    axes.set(xlabel='recall', ylabel='precision, mean over classes', xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(frameon=False)
    return figure


def training_loss(comparison: Comparison) -> Figure | None:
    """Plot the smoothed training loss of each run."""
    figure, axes = _figure()
    for index, (name, recipe) in enumerate(zip(short_names(comparison), comparison.recipes)):
        for number, run in enumerate(recipe.runs):
            steps, losses = read_losses(run) if run.training else ([], [])
            if steps:
                axes.plot(steps, _smooth(losses), LINE_STYLES[number % len(LINE_STYLES)], color=_color(index),
                          linewidth=1, label=name if run.seed is None else f'{name}, seed {run.seed}')
    if not axes.lines:
        return None
    axes.set(xlabel='training step', ylabel='loss (moving average)')
    axes.legend(frameon=False)
    return figure


def ap_lost_by_error_type(comparison: Comparison) -> Figure | None:
    """Plot the AP50 lost to each type of error."""
    errors = [[accuracy.errors for accuracy in own] for own in accuracies_by_recipe(comparison)]
    if not errors or None in errors[0]:
        return None
    kinds = list(errors[0][0])
    values = [[mean([run[kind]['ap_lost'] for run in own]) for kind in kinds] for own in errors]
    return _bar_plot(kinds, values, short_names(comparison), 'AP50 lost')


def main_metric(comparison: Comparison) -> str | None:
    """Return the main metric: AP, mIoU or the first metric that all runs have; None without trained weights."""
    runs = [run for recipe in comparison.recipes for run in recipe.runs]
    if not all(recipe.runs for recipe in comparison.recipes):
        return None
    names = ['AP', 'mIoU', *runs[0].metrics]
    return next((name for name in names if all(run.metrics.get(name) is not None for run in runs)), None)


def read_losses(run: Run) -> tuple[list[int], list[float]]:
    """Read the training losses that LocalVisBackend logged.

    Args:
        run: Run whose checkpoint is in the work directory of its training.

    Returns:
        Steps and losses; empty if nothing was logged.
    """
    losses = {}
    for path in sorted(Path(run.checkpoint).parent.glob('*/vis_data/scalars.json')):  # one per start of the training
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            if 'loss' in entry and 'step' in entry:
                losses[entry['step']] = entry['loss']
    return sorted(losses), [losses[step] for step in sorted(losses)]


def _smooth(values: Sequence[float], window: int = 5) -> np.ndarray:
    padded = np.concatenate([np.repeat(values[0], window - 1), values])
    return np.convolve(padded, np.ones(window) / window, 'valid')


def _bar_plot(groups: Sequence[str], series: Sequence[Sequence[float]], names: Sequence[str], label: str) -> Figure:
    figure, axes = _figure()
    width = 0.8 / len(series)
    for index, (name, values) in enumerate(zip(names, series)):
        positions = np.arange(len(groups)) + (index - (len(series) - 1) / 2) * width
        bars = axes.bar(positions, values, width, color=_color(index), label=name)
        axes.bar_label(bars, fmt=f'%{metric_format(label)}', fontsize=7, padding=2)
    rotation = {'rotation': 20, 'ha': 'right'} if len(groups) > 4 else {}
    axes.set_xticks(range(len(groups)), groups, **rotation)
    axes.set(ylabel=label)
    axes.margins(y=0.15)
    axes.legend(frameon=False)
    return figure


def _figure(width: float = 5.2, height: float = 3.2) -> tuple[Figure, Axes]:
    figure = Figure((width, height), layout='constrained')
    return figure, figure.add_subplot()


def _color(index: int) -> str:
    return COLORS[index % len(COLORS)]


def _to_svg(figure: Figure) -> str:
    file = io.StringIO()
    figure.savefig(file, format='svg', metadata={'Date': None})
    text = file.getvalue()
    return text[text.index('<svg'):]


PLOTS = [
    ('Accuracy against latency', accuracy_against_latency),
    ('AP by object size', ap_by_object_size),
    ('Difference by class', difference_by_class),
    ('Precision and recall', precision_recall),
    ('Training loss', training_loss),
    ('AP50 lost by error type', ap_lost_by_error_type),
]
