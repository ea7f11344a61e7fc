"""Compare two configs key by key after inheritance is resolved."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

MODEL_KEYS = {'model', 'custom_imports'}  # keys that change when a component is replaced
RUNNER_KEYS = set(inspect.signature(Runner.__init__).parameters) | {'auto_scale_lr'}  # others are helper variables


@dataclass(frozen=True)
class Change:
    """One key that differs between two configs.

    Attributes:
        key: Dotted key with list indices as numbers, such as ``model.neck.type``.
        before: Value in the baseline as Python source, or None if the key is absent.
        after: Value in the candidate as Python source, or None if the key is absent.
    """

    key: str
    before: str | None
    after: str | None

    @property
    def outside_model(self) -> bool:
        """Whether the key affects something other than the model, such as data or schedule."""
        top = self.key.split('.')[0]
        return top in RUNNER_KEYS and top not in MODEL_KEYS


def config_diff(baseline: Config, candidate: Config) -> list[Change]:
    """List the keys in which two configs differ.

    Args:
        baseline: Config of the baseline.
        candidate: Config of the candidate.

    Returns:
        The changes in the order of the keys.
    """
    return list(_diff('', baseline.to_dict(), candidate.to_dict()))


def as_tree(changes: list[Change]) -> dict:
    """Nest changes by the parts of their dotted keys.

    Args:
        changes: Changes as returned by :func:`config_diff`.

    Returns:
        Nested dicts with a :class:`Change` at each leaf.
    """
    tree: dict = {}
    for change in changes:
        *parents, leaf = change.key.split('.')
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[leaf] = change
    return tree


def format_diff(changes: list[Change]) -> list[str]:
    """Format changes as lines for a terminal."""
    lines = []
    for change in changes:
        note = '   <- outside the model' if change.outside_model else ''
        lines.append(f'  {change.key}: {_shorten(change.before)} -> {_shorten(change.after)}{note}')
    return lines or ['  no difference']


def _shorten(value: str | None, width: int = 60) -> str:
    if value is None:
        return '(none)'
    return value if len(value) <= width else value[:width - 3] + '...'


def _diff(key: str, before: Any, after: Any) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in list(before) + [name for name in after if name not in before]:
            dotted = f'{key}.{name}' if key else str(name)
            if name not in after:
                yield Change(dotted, repr(before[name]), None)
            elif name not in before:
                yield Change(dotted, None, repr(after[name]))
            else:
                yield from _diff(dotted, before[name], after[name])
    elif _are_lists_of_equal_length(before, after):
        for index, (one, other) in enumerate(zip(before, after)):
            yield from _diff(f'{key}.{index}', one, other)
    elif before != after:
        yield Change(key, repr(before), repr(after))


def _are_lists_of_equal_length(before: Any, after: Any) -> bool:
    return type(before) is type(after) and isinstance(before, (list, tuple)) and len(before) == len(after)
