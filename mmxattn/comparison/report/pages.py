"""Write a comparison as a self-contained HTML page, Markdown and JSON, and print it."""

import base64
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

import jinja2
from rich.console import Console
from rich.table import Column
from rich.table import Table as RichTable

from ...utils.atomic_files import write_atomic
from ...version import __version__
from ..config_diff import as_tree
from ..result import Comparison, short_names
from .plots import draw_plots
from .tables import summary_table, tables_by_heading

TEMPLATES = Path(__file__).parent / 'templates'


def write_report(comparison: Comparison, folder: Path) -> None:
    """Write report.json, report.md and report.html.

    Args:
        comparison: Result to write; it may be incomplete.
        folder: Folder for the report. It must contain the pictures of the comparison.
    """
    summary, tables = summary_table(comparison), tables_by_heading(comparison)
    every_table = [summary, *(table for own in tables.values() for table in own)]
    comparison.save(folder / 'report.json', tables=[asdict(table) for table in every_table])
    context = {
        'comparison': comparison,
        'names': short_names(comparison),
        'summary': summary,
        'tables': tables,
        'version': __version__,
        'outside_model': list(dict.fromkeys(change.key for candidate in comparison.candidates
                                            for change in candidate.config_diff if change.outside_model)),
    }
    page = _environment(autoescape=True).get_template('report.html').render(
        **context, plots=draw_plots(comparison), as_tree=as_tree, embed=lambda file: _data_url(folder / file))
    text = _environment(autoescape=False).get_template('report.md').render(**context)
    write_atomic(folder / 'report.html', page.encode())
    write_atomic(folder / 'report.md', text.encode())


def print_tables(comparison: Comparison, file: TextIO | None = None) -> None:
    """Print the summary of a comparison.

    Args:
        comparison: Result to print.
        file: Output stream. Defaults to standard output.
    """
    console = Console(file=file, highlight=False, width=100 if file else None)
    summary = summary_table(comparison)
    table = RichTable(Column(no_wrap=True), title=summary.title)
    for column in summary.columns:
        table.add_column(column, justify='right', overflow='fold')
    for row in summary.rows:
        table.add_row(row.name, *row.texts())
    console.print(table)
    if summary.note:
        console.print(summary.note, soft_wrap=True)


def _environment(autoescape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=autoescape, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined)
    environment.filters['cell'] = lambda text: str(text).replace('|', '\\|')
    environment.filters['anchor'] = lambda title: title.lower().replace(' ', '-')
    return environment


def _data_url(path: Path) -> str:
    return 'data:image/png;base64,' + base64.b64encode(path.read_bytes()).decode()
