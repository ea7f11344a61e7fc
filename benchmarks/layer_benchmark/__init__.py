"""Each layer against the literal form of its paper: the same numbers, timed in turns, and held against a floor."""

from .benchmark import PASSES, Measured, Result, bench_layers
from .cases import LAYERS, Case, Passes, select
from .roofline import Rates, bytes_moved, copy_bandwidth, floor, matmul_rate, rates
from .scaling import GROWTHS, Grown, Growth, bench_scaling

__all__ = ['GROWTHS', 'LAYERS', 'PASSES', 'Case', 'Grown', 'Growth', 'Measured', 'Passes', 'Rates', 'Result',
           'bench_layers', 'bench_scaling', 'bytes_moved', 'copy_bandwidth', 'floor', 'matmul_rate', 'rates', 'select']
