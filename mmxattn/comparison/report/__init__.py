"""Reports of a comparison: report.html, report.md, report.json, and tables on the terminal."""

from .pages import print_tables, write_report

__all__ = ['print_tables', 'write_report']
