"""What a person looks at to decide between two models: complexity, speed, and the side-by-side comparison."""

from .accuracy import Accuracy, evaluate, paired_difference
from .comparison import Comparison, compare
from .complexity import Complexity, complexity, count_macs
from .config_diff import config_diff
from .speed import interleave, ratio
from .table import build_table, print_table

__all__ = ['Accuracy', 'Comparison', 'Complexity', 'build_table', 'compare', 'complexity', 'config_diff', 'count_macs',
           'evaluate', 'interleave', 'paired_difference', 'print_table', 'ratio']
