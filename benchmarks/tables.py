"""Terminal output of the benchmarks."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Column, Table

from mmxattn.profiling.environment import clock_mhz, environment
from mmxattn.profiling.timing import Spread


def metadata() -> dict:
    """Collect the environment of a benchmark, with the current clock rate."""
    return dict(environment('mmxattn'), clock_mhz=clock_mhz())


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose first column has no heading."""
    columns = [Column(heading, justify='right', no_wrap=True) for heading in headings]
    table = Table('', *columns, show_lines=True)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, width=None if sys.stdout.isatty() else 140).print(table)


def spread_text(spread: Spread | None) -> str:
    """Format the median, and below it the 10th to the 90th percentile."""
    return '-' if spread is None else f'{spread.median:.2f}\n{spread.lower:.2f} to {spread.upper:.2f}'
