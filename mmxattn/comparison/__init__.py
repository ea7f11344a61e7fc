"""What a person looks at to decide between two models: costs, speed, accuracy, pictures, and the comparison of all."""

from ..profiling.complexity import Complexity, complexity, count_macs
from ..profiling.timing import interleave, ratio
from .accuracy import Accuracy, evaluate, paired_difference
from .config_diff import config_diff
from .report import print_tables, write_report
from .result import Comparison
from .runner import Plan, compare

__all__ = ['Accuracy', 'Comparison', 'Complexity', 'Plan', 'compare', 'complexity', 'config_diff', 'count_macs',
           'evaluate', 'interleave', 'paired_difference', 'print_tables', 'ratio', 'write_report']
