"""A comparison to read: report.html for people, report.md for a pull request, and the tables on a terminal."""

from .pages import print_tables, write_report
from .tables import tables

__all__ = ['print_tables', 'tables', 'write_report']
