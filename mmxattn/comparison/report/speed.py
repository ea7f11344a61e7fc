"""Table of speed and memory."""

import statistics
from collections.abc import Iterator, Sequence

import numpy as np

from ...profiling.benchmark import Speed
from ...profiling.timing import ratio
from ..result import Comparison, short_names
from .table import Cell, Row, Table, ratios

NOTE = """\
Models are timed in turns in one process, after a warm-up. Parentheses contain the ratio to {baseline}; for times, this
is the median of the ratios of all turns, with their 10th and 90th percentiles. Inference runs from preprocessing to the
final result, on {images}. Memory is the peak that PyTorch allocates in addition to the model and optimizer.
Environment: {environment}."""


def speed_table(comparison: Comparison) -> Table:
    """List latency, throughput, training step and memory in each mode; empty before timing."""
    height, width = comparison.shape
    names = short_names(comparison)
    table = Table('Speed', names, note=NOTE.format(
        baseline=names[0],
        images=f'synthetic images of {height}x{width} pixels' if comparison.synthetic_images else 'dataset images',
        environment=', '.join(f'{name} {value}' for name, value in comparison.environment.items())))
    for speeds in zip(*(recipe.speed for recipe in comparison.recipes)):
        table.rows.extend(_rows(speeds, comparison.batch_size))
    return table


def _rows(speeds: Sequence[Speed], batch_size: int) -> Iterator[Row]:
    mode = speeds[0].mode
    if speeds[0].failure:
        yield Row(f'{mode}: failed', [Cell(speed.failure) for speed in speeds])
        return
    for size in speeds[0].inference:
        seconds = [speed.inference[size] for speed in speeds]
        if size == '1':
            yield Row(f'{mode}: latency, p50 of {len(seconds[0])} (ms)', _median_cells(seconds), '.1f')
            yield Row(f'{mode}: latency, p95 (ms)', ratios([float(np.percentile(own, 95)) * 1000 for own in seconds]),
                      '.1f')
        rates = [int(size) / statistics.median(own) for own in seconds]
        yield Row(f'{mode}: throughput, batch size {size} (images/s)', ratios(rates), '.1f')
    if speeds[0].training_step:
        seconds = [speed.training_step for speed in speeds]
        yield Row(f'{mode}: training step, batch size {batch_size}, p50 of {len(seconds[0])} (ms)',
                  _median_cells(seconds), '.1f')
    for label, attribute in (('inference', 'inference_memory'), ('training step', 'training_memory')):
        memory = [getattr(speed, attribute) for speed in speeds]
        if None not in memory:
            yield Row(f'{mode}: peak memory, {label} (MiB)', ratios([value / 2**20 for value in memory]), '.1f')


def _median_cells(seconds: Sequence[Sequence[float]]) -> list[Cell]:
    """Create cells with the median in milliseconds and its ratio to the baseline, computed turn by turn."""
    cells = [Cell(statistics.median(own) * 1000, relative=True) for own in seconds]
    for cell, own in zip(cells[1:], seconds[1:]):
        ratios_of_turns = ratio(own, seconds[0])
        cell.change, cell.lower, cell.upper = ratios_of_turns.median, ratios_of_turns.lower, ratios_of_turns.upper
    return cells
