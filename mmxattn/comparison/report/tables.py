"""All tables of a comparison, and the one that says the most in the fewest rows."""

from ..result import labels
from .accuracy import accuracy_table, class_tables, difference_table, error_table, luck, operating_table
from .complexity import cost_table, uncounted_table
from .plots import main_metric
from .receptive_field import receptive_field_table
from .speed import speed_table
from .table import Table

UNTRAINED = ('No weights were given, and none were trained: timings and pictures are of models with random weights. A '
             'detector then finds random boxes, and their number is in its timings.')
GLANCE = ('Parameters (M)', 'MACs (G)', 'AP', 'AP50', 'AP_S', 'AP_M', 'AP_L', 'mAP', 'mIoU', 'mIoU@small')


def tables(comparison):
    """Everything that is known, by subject.

    Args:
        comparison (Comparison): Finished or half way.

    Returns:
        list[Table]: Those that have rows.
    """
    made = [cost_table(comparison), accuracy_table(comparison), difference_table(comparison),
            *class_tables(comparison), operating_table(comparison), error_table(comparison), speed_table(comparison),
            receptive_field_table(comparison), uncounted_table(comparison)]
    return [table for table in made if table]


def at_a_glance(comparison):
    """Costs, main metrics, latency and training step in the first mode.

    Args:
        comparison (Comparison): Finished or half way.

    Returns:
        Table: A few rows of the others.
    """
    whole = cost_table(comparison).rows + accuracy_table(comparison).rows
    rows = [row for row in whole if row.name in GLANCE or row.name.startswith('Training time')]
    metric = main_metric(comparison)
    if metric and metric not in GLANCE:
        rows.extend(row for row in whole if row.name == metric)
    timed = speed_table(comparison).rows
    mode = timed[0].name.partition(':')[0] if timed else ''
    rows.extend(row for row in timed if row.name.startswith((f'{mode}: latency', f'{mode}: training step')))
    untrained = UNTRAINED if timed or comparison.looks else ''
    return Table('At a glance', labels(comparison), rows, luck(comparison) if metric else untrained)
