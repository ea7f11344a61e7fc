"""Benchmark of single layers against their reference forms and the roofline of the machine."""

from .benchmark import PASSES, LayerResult, Measurement, bench_layers
from .cases import LAYERS, Case, MemoryPasses, select
from .roofline import PeakRates, bytes_moved, matmul_rate, measure_peak_rates, memory_bandwidth, roofline_time
from .scaling import SCALING_CASES, ScalingCase, ScalingResult, bench_scaling

__all__ = ['LAYERS', 'PASSES', 'SCALING_CASES', 'Case', 'LayerResult', 'Measurement', 'MemoryPasses', 'PeakRates',
           'ScalingCase', 'ScalingResult', 'bench_layers', 'bench_scaling', 'bytes_moved', 'matmul_rate',
           'measure_peak_rates', 'memory_bandwidth', 'roofline_time', 'select']
