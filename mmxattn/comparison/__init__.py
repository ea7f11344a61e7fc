"""Compare two or more recipes: config diff, complexity, speed, accuracy and visualization."""

from .accuracy import Accuracy, evaluate, paired_difference
from .config_diff import config_diff
from .options import CompareOptions
from .report import print_tables, write_report
from .result import Comparison
from .runner import compare

__all__ = ['Accuracy', 'CompareOptions', 'Comparison', 'compare', 'config_diff', 'evaluate', 'paired_difference',
           'print_tables', 'write_report']
