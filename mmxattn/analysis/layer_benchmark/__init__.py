"""Each layer against the literal form of its paper: the same numbers, timed in turns, and held against a floor."""

from .benchmark import PASSES, Measured, Result, bench_layers
from .cases import LAYERS, Case, Passes, select
from .floor import Rates, bytes_moved, copy_bandwidth, floor, matmul_rate, rates

__all__ = ['LAYERS', 'PASSES', 'Case', 'Measured', 'Passes', 'Rates', 'Result', 'bench_layers', 'bytes_moved',
           'copy_bandwidth', 'floor', 'matmul_rate', 'rates', 'select']
