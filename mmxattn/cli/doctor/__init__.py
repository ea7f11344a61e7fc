"""What is installed, whether it works together, and which known faults these versions have.

Standard library only, and nothing of the rest of the package: it has to run where a toolbox, or torch, does not import.
What has to be imported to be tried is imported in a process of its own (``checks.py``).
"""
from .examination import Examination, examine

__all__ = ['Examination', 'examine']
