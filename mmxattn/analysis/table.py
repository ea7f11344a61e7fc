"""The comparison as a table: one row a quantity, one column a recipe, each set against the first."""

from rich.console import Console
from rich.table import Column, Table

from .speed import ratio, spread

METRICS = {  # the toolboxes' names for what papers call otherwise
    'coco/bbox_mAP': 'AP', 'coco/bbox_mAP_50': 'AP50', 'coco/bbox_mAP_75': 'AP75',
    'coco/bbox_mAP_s': 'AP_S', 'coco/bbox_mAP_m': 'AP_M', 'coco/bbox_mAP_l': 'AP_L',
    'coco/segm_mAP': 'mask AP', 'coco/segm_mAP_50': 'mask AP50', 'coco/segm_mAP_75': 'mask AP75',
    'coco/segm_mAP_s': 'mask AP_S', 'coco/segm_mAP_m': 'mask AP_M', 'coco/segm_mAP_l': 'mask AP_L',
    'pascal_voc/mAP': 'mAP', 'pascal_voc/AP50': 'AP50',
}

NOTES = """\
In brackets: the difference from {first}; for times the ratio to it, median and quartiles over the turns the models took
({steps} of a training step, {turns} of inference).
MACs: multiply-adds, each counted once (FLOPs are twice as many). Attention is counted; normalisation, activations,
pooling, interpolation and RoIAlign are not.
Inference: one image, from preprocessing to the final result. Timed on {environment}.
One seed ({seed}): differences of accuracy are not significant."""


def print_table(comparison, file=None):
    """Print a finished comparison.

    Args:
        comparison (Comparison): The result of ``compare``.
        file (TextIO, optional): Where to; standard output by default.
    """
    console = Console(file=file, highlight=False, width=100 if file else None)
    console.print(build_table(comparison))
    first = comparison.candidates[0]
    console.print(NOTES.format(
        first=labels(comparison)[0], steps=len(first.training_step), turns=len(first.inference), seed=comparison.seed,
        environment=', '.join(f'{name} {value}' for name, value in comparison.environment.items())), soft_wrap=True)


def build_table(comparison):
    """The table of a finished comparison.

    Args:
        comparison (Comparison): The result of ``compare``.

    Returns:
        rich.table.Table: To be printed by rich.
    """
    height, width = comparison.shape
    table = Table(Column(no_wrap=True), title='Side by side')
    for label in labels(comparison):
        table.add_column(label, justify='right', overflow='fold')
    candidates = comparison.candidates
    first = candidates[0]

    table.add_row('Parameters (M)', *_numbers([c.complexity.parameters / 1e6 for c in candidates], '.3f'))
    table.add_row(f'MACs (G) at {height}x{width}', *_numbers([c.complexity.macs / 1e9 for c in candidates], '.3f'))
    table.add_section()
    for metric in first.training.metrics:
        values = [c.training.metrics.get(metric) for c in candidates]
        table.add_row(METRICS.get(metric, metric), *_numbers(values, '.1f' if _in_percent(metric) else '.3f'))
    table.add_section()
    table.add_row('Training time', *(_minutes(c.training.seconds) for c in candidates))
    table.add_row(f'Training step, batch {comparison.batch_size} (ms)', *_times([c.training_step for c in candidates]))
    table.add_row('Inference, one image (ms)', *_times([c.inference for c in candidates]))
    return table


def labels(comparison):
    """Column heads: of each config's name the words that not all of them share; a first one without any is 'stock'.

    Args:
        comparison (Comparison): Its candidates' names are used.

    Returns:
        list[str]: The whole names where nothing short tells them apart.
    """
    names = [candidate.name for candidate in comparison.candidates]
    words = [name.split('_') for name in names]
    shared = set(words[0]).intersection(*words)
    short = ['_'.join(word for word in own if word not in shared) for own in words]
    short[0] = short[0] or 'stock'
    return short if all(short) and len(set(short)) == len(short) else names


def _in_percent(metric):
    return metric in ('mIoU', 'aAcc', 'mAcc', 'mDice', 'mFscore', 'mPrecision', 'mRecall')  # mmseg's


def _numbers(values, form):
    """Values as text, all but the first with their difference from it."""
    first, cells = values[0], []
    for value in values:
        missing = value is None or value < 0  # pycocotools gives -1 where there is nothing of that size
        cells.append('-' if missing else f'{value:{form}}')
        if len(cells) > 1 and not missing and first is not None and first >= 0:
            cells[-1] += f' ({value - first:+{form}})'
    return cells


def _times(series):
    """Medians in milliseconds, all but the first with their ratio to it."""
    cells = [f'{spread(seconds).median * 1000:.1f}' for seconds in series]
    for index, seconds in enumerate(series[1:], 1):
        times = ratio(seconds, series[0])
        cells[index] += f' (x{times.median:.2f}, {times.lower:.2f} to {times.upper:.2f})'
    return cells


def _minutes(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    return f'{minutes} min {seconds:02d} s'
