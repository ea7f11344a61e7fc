"""Result files of command line tools."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

__all__ = ['check_output_folder', 'save_results']


def check_output_folder(file: Path | None) -> None:
    """Raise a ValueError if the folder of an output file does not exist."""
    if file and not file.parent.is_dir():
        raise ValueError(f'The folder of {file.name} must exist, got {file.parent}. Create it first.')


def save_results(measurements: Iterable, results: list, file: Path | None, **metadata: Any) -> Iterator:
    """Iterate over measurements, and save all results so far after each of them.

    Args:
        measurements: Objects with a ``to_dict`` method.
        results: List that each measurement is appended to.
        file: JSON file, or None to save nothing.
        metadata: Further entries of the file.

    Yields:
        The measurements.
    """
    from mmxattn.utils.atomic_files import write_json  # slow to import
    for measurement in measurements:
        results.append(measurement)
        if file:
            write_json(file, dict(metadata, results=[result.to_dict() for result in results]))
        yield measurement
