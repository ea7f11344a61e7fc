"""Tables of how fast models are and how much memory they take."""

import statistics

import numpy as np

from ...profiling.timing import ratio
from ..result import labels
from .table import Cell, Row, Table, ratios

NOTE = """\
The models took turns in one process; in brackets the ratio to {first}: the median over the turns' own ratios, and their
10th to 90th percentile. Warm-up is left out. Inference is from preprocessing to the final result, on {images}. Memory
is the peak of what PyTorch allocates beside model and optimizer. {stamp}"""


def speed_table(comparison):
    """Latency, throughput, training step and memory in each mode.

    Args:
        comparison (Comparison): Its candidates' speed is used.

    Returns:
        Table: Empty before anything is timed.
    """
    stamp = ', '.join(f'{name} {value}' for name, value in comparison.environment.items())
    height, width = comparison.shape
    images = f'made images of {height}x{width} pixels' if comparison.made_images else 'images of the data set'
    names = labels(comparison)
    table = Table('How fast', names, note=NOTE.format(first=names[0], images=images, stamp=stamp))
    for speeds in zip(*(candidate.speed for candidate in comparison.candidates)):
        table.rows.extend(_rows(speeds, comparison.batch_size))
    return table


def _rows(speeds, batch_size):
    mode = speeds[0].mode
    if speeds[0].failure:
        yield Row(f'{mode}: given up', [Cell(speed.failure) for speed in speeds])
        return
    for size in speeds[0].inference:
        series = [speed.inference[size] for speed in speeds]
        if size == '1':
            turns = len(series[0])
            yield Row(f'{mode}: latency of one image, p50 of {turns} (ms)', _times(series), '.1f')
            yield Row(f'{mode}: p95 (ms)', ratios([float(np.percentile(own, 95)) * 1000 for own in series]), '.1f')
        rates = [int(size) / statistics.median(own) for own in series]
        yield Row(f'{mode}: throughput, {size} at a time (images/s)', ratios(rates), '.1f')
    if speeds[0].training_step:
        series = [speed.training_step for speed in speeds]
        yield Row(f'{mode}: training step, batch {batch_size}, p50 of {len(series[0])} (ms)', _times(series), '.1f')
    for what, attribute in [('inference', 'inference_memory'), ('a training step', 'training_memory')]:
        memory = [getattr(speed, attribute) for speed in speeds]
        if all(value is not None for value in memory):
            yield Row(f'{mode}: peak memory of {what} (MiB)', ratios([value / 2**20 for value in memory]), '.1f')


def _times(series):
    """Medians in milliseconds, all but the first with the ratio of its turns to the first's."""
    cells = [Cell(statistics.median(seconds) * 1000, relative=True) for seconds in series]
    for cell, seconds in zip(cells[1:], series[1:]):
        times = ratio(seconds, series[0])
        cell.change, cell.lower, cell.upper = times.median, times.lower, times.upper
    return cells
