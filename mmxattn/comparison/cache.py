"""What an earlier comparison left in a folder: taken over as far as it still holds, or set aside."""

import itertools

from .result import Comparison


def take_over(now, folder):
    """Fill in what an earlier comparison of the same recipes found, as far as it still holds.

    Args:
        now (Comparison): As yet with nothing but its recipes.
        folder (Path): Where the reports are.
    """
    before = _report(folder)
    if before is None or _names(before) != _names(now):
        return
    clock = before.environment.pop('clock_mhz', None)
    if before.environment != now.environment or before.shape != now.shape:
        return
    if clock is not None:
        now.environment['clock_mhz'] = clock
    for old, new in zip(before.candidates, now.candidates):
        if old.fingerprint == new.fingerprint:
            new.complexity, new.speed, new.runs, new.differences = (
                old.complexity, old.speed, old.runs, old.differences)
    now.looks, now.stages, now.made_images = before.looks, before.stages, before.made_images


def set_aside(now, folder, say):
    """Move the report of other recipes out of the way of this one.

    Args:
        now (Comparison): About to be written.
        folder (Path): Where the reports are.
        say (Callable[[str], object]): Told where the other one is then.
    """
    before = _report(folder)
    if before is None or _names(before) == _names(now):
        return
    aside = next(path for path in map(folder.joinpath, map('earlier_{}'.format, itertools.count(1)))
                 if not path.exists())
    aside.mkdir()
    for path in [*folder.glob('report.*'), folder / 'pictures']:
        if path.exists():
            path.rename(aside / path.name)
    say(f'The report of {" and ".join(_names(before))} that was here is in {aside} now.')


def _report(folder):
    try:
        return Comparison.load(folder / 'report.json')
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # none, or another version's: it is made anew
        return None


def _names(comparison):
    return [candidate.name for candidate in comparison.candidates]
