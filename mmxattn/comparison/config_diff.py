"""What differs between two recipes after inheritance, key by key."""

import inspect
from dataclasses import dataclass

from mmengine.runner import Runner

PART = {'model', 'custom_imports'}  # what swapping a component has to change
SETTINGS = set(inspect.signature(Runner.__init__).parameters) | {'auto_scale_lr'}  # other keys are a file's helpers


@dataclass(frozen=True)
class Change:
    """One key that differs.

    Attributes:
        key: Dotted, list positions as numbers: ``model.neck.type``.
        before: The first recipe's value as Python text; None where it has no such key.
        after: The second recipe's, likewise.
    """

    key: str
    before: str
    after: str

    @property
    def unfair(self):
        """Whether more than the model changed: the data, the schedule, the test settings."""
        top = self.key.split('.')[0]
        return top in SETTINGS and top not in PART


def config_diff(first, second):
    """List what differs between two recipes.

    Args:
        first (mmengine.config.Config): The stock recipe.
        second (mmengine.config.Config): The other one.

    Returns:
        list[Change]: In the order of the keys; empty if the recipes say the same.
    """
    return list(_changes('', first.to_dict(), second.to_dict()))


def as_tree(changes):
    """Changes by their keys' parts.

    Args:
        changes (list[Change]): As :func:`config_diff` returns them.

    Returns:
        dict: Part of the key -> what is below it, a :class:`Change` at the end.
    """
    tree = {}
    for change in changes:
        *path, last = change.key.split('.')
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[last] = change
    return tree


def _changes(key, before, after):
    if isinstance(before, dict) and isinstance(after, dict):
        for name in list(before) + [name for name in after if name not in before]:
            dotted = f'{key}.{name}' if key else str(name)
            if name not in after:
                yield Change(dotted, repr(before[name]), None)
            elif name not in before:
                yield Change(dotted, None, repr(after[name]))
            else:
                yield from _changes(dotted, before[name], after[name])
    elif _same_length(before, after):
        for index, (one, other) in enumerate(zip(before, after)):
            yield from _changes(f'{key}.{index}', one, other)
    elif before != after:
        yield Change(key, repr(before), repr(after))


def _same_length(before, after):
    return type(before) is type(after) and isinstance(before, (list, tuple)) and len(before) == len(after)
