"""Reuse the measurements of an earlier comparison in the same folder."""

import hashlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path

from .result import Comparison, Run


def restore(comparison: Comparison, folder: Path) -> None:
    """Copy the results that are still valid from an earlier report of the same recipes.

    Nothing is copied if the image size or the environment changed. Recipes whose config changed are skipped.

    Args:
        comparison: New comparison without measurements.
        folder: Folder of the report.
    """
    earlier = _load_report(folder)
    if earlier is None or not _have_same_recipes(earlier, comparison) or earlier.shape != comparison.shape:
        return
    clock_mhz = earlier.environment.pop('clock_mhz', None)  # changes from moment to moment
    if earlier.environment != comparison.environment:
        return
    if clock_mhz is not None:
        comparison.environment['clock_mhz'] = clock_mhz
    for old, new in zip(earlier.recipes, comparison.recipes):
        if old.fingerprint == new.fingerprint:
            new.complexity, new.speed, new.runs, new.differences = (
                old.complexity, old.speed, old.runs, old.differences)
    comparison.visualization = earlier.visualization
    comparison.synthetic_images = earlier.synthetic_images
    comparison.stage_keys = earlier.stage_keys


def archive_other_report(comparison: Comparison, folder: Path, log: Callable[[str], object]) -> None:
    """Move a report of other recipes to a subfolder before it is overwritten.

    Args:
        comparison: Comparison that will be written to the folder.
        folder: Folder of the report.
        log: Callback for messages.
    """
    earlier = _load_report(folder)
    if earlier is None or _have_same_recipes(earlier, comparison):
        return
    archive = next(path for number in itertools.count(1) if not (path := folder / f'previous_{number}').exists())
    archive.mkdir()
    for path in [*folder.glob('report.*'), folder / 'pictures']:
        if path.exists():
            path.rename(archive / path.name)
    names = ', '.join(recipe.name for recipe in earlier.recipes)
    log(f'Moved the earlier report of {names} to {archive}.')


def reuse_accuracy(runs: list[Run], earlier_runs: list[Run]) -> list[Run]:
    """Copy the accuracy of earlier runs to runs with the same weights, and return the runs."""
    known = {file_id(run.checkpoint): run.accuracy for run in earlier_runs if Path(run.checkpoint).is_file()}
    for run in runs:
        run.accuracy = known.get(file_id(run.checkpoint))
    return runs


def file_id(path: str | Path) -> str:
    """Identify a version of a file by path, size and modification time."""
    status = Path(path).stat()
    return f'{path}:{status.st_size}:{status.st_mtime_ns}'


def digest(key: object) -> str:
    """Return 16 hexadecimal digits that identify a JSON-serializable object."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def _load_report(folder: Path) -> Comparison | None:
    try:
        return Comparison.load(folder / 'report.json')
    except (FileNotFoundError, ValueError):  # no report, a damaged one, or one of another version
        return None


def _have_same_recipes(first: Comparison, second: Comparison) -> bool:
    return [recipe.name for recipe in first.recipes] == [recipe.name for recipe in second.recipes]
