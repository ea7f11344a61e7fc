"""All tables of a comparison, and a summary."""

from ..result import Comparison, short_names
from .accuracy import (
    accuracy_table,
    class_tables,
    difference_table,
    error_table,
    operating_point_table,
    significance_note,
)
from .complexity import complexity_table, uncounted_table
from .plots import main_metric
from .receptive_field import receptive_field_table
from .speed import speed_table
from .table import Table

UNTRAINED_NOTE = (
    'No checkpoints were given and nothing was trained: speed and visualization use random weights. A detector with '
    'random weights differs from a trained one in the number of detections, and therefore in its time.')
SUMMARY_ROWS = ('Parameters (M)', 'MACs (G)', 'AP', 'AP50', 'AP_S', 'AP_M', 'AP_L', 'mAP', 'mIoU', 'mIoU@small')


def tables_by_heading(comparison: Comparison) -> dict[str, list[Table]]:
    """Create all tables that have rows, by heading. The heading 'Visualization' may have pictures but no tables."""
    tables = {
        'Complexity': [complexity_table(comparison), uncounted_table(comparison)],
        'Speed': [speed_table(comparison)],
        'Accuracy': [accuracy_table(comparison), difference_table(comparison), *class_tables(comparison),
                     operating_point_table(comparison), error_table(comparison)],
        'Visualization': [receptive_field_table(comparison)],
    }
    tables = {heading: [table for table in own if table] for heading, own in tables.items()}
    return {heading: own for heading, own in tables.items()
            if own or (heading == 'Visualization' and comparison.visualization)}


def summary_table(comparison: Comparison) -> Table:
    """Summarize complexity, main metrics, and the times of the first mode."""
    accuracy, speed = accuracy_table(comparison).rows, speed_table(comparison).rows
    metric = main_metric(comparison)
    rows = [row for row in complexity_table(comparison).rows + accuracy
            if row.name in (*SUMMARY_ROWS, metric) or row.name.startswith('Training time')]
    mode = speed[0].name.partition(':')[0] if speed else ''
    rows.extend(row for row in speed if row.name.startswith((f'{mode}: latency, p50', f'{mode}: training step')))
    untrained_note = UNTRAINED_NOTE if speed or comparison.visualization else ''
    return Table('Summary', short_names(comparison), rows, significance_note(comparison) if metric else untrained_note)
