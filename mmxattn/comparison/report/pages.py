"""The pages: one HTML file that needs nothing else, one Markdown file, and the terminal."""

import base64
from dataclasses import asdict
from pathlib import Path

import jinja2
from rich.console import Console
from rich.table import Column
from rich.table import Table as RichTable

from ...utils.atomic_files import write_whole
from ...version import __version__
from ..config_diff import as_tree
from ..result import labels
from .plots import plots
from .tables import at_a_glance, tables

TEMPLATES = Path(__file__).parent / 'templates'


def write_report(comparison, folder):
    """Write report.json, report.md and report.html.

    Args:
        comparison (Comparison): Finished or half way: what is not known yet is left out.
        folder (Path): The pictures that the comparison names are in it.
    """
    glance, found = at_a_glance(comparison), tables(comparison)
    comparison.save(folder / 'report.json', tables=[asdict(table) for table in [glance, *found]])
    shared = dict(
        comparison=comparison, labels=labels(comparison), glance=glance, tables=found, version=__version__,
        trees=[as_tree(candidate.changes) for candidate in comparison.candidates],
        unfair=[change for candidate in comparison.candidates for change in candidate.changes if change.unfair])
    page = _environment(autoescape=True).get_template('report.html').render(
        **shared, plots=plots(comparison), picture=lambda file: _embedded(folder / file))
    text = _environment(autoescape=False).get_template('report.md').render(**shared)
    write_whole(folder / 'report.html', page.encode())
    write_whole(folder / 'report.md', text.encode())


def print_tables(comparison, file=None):
    """Print what the comparison says at a glance.

    Args:
        comparison (Comparison): The result.
        file (TextIO, optional): Where to; standard output by default.
    """
    console = Console(file=file, highlight=False, width=100 if file else None)
    glance = at_a_glance(comparison)
    printed = RichTable(Column(no_wrap=True), title=glance.title)
    for column in glance.columns:
        printed.add_column(column, justify='right', overflow='fold')
    for row in glance.rows:
        printed.add_row(row.name, *row.texts())
    console.print(printed)
    if glance.note:
        console.print(glance.note, soft_wrap=True)


def _environment(autoescape):
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=autoescape, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined)
    environment.filters['cell'] = lambda text: str(text).replace('|', '\\|')
    return environment


def _embedded(path):
    return 'data:image/png;base64,' + base64.b64encode(path.read_bytes()).decode()
