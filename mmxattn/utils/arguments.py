"""What is told of arguments that a class does not take.

Python's own text of one that passes through ``**kwargs`` names the base class at the end of the chain, no value and no
way out.
"""
import contextlib
import functools
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from torch import nn

__all__ = ['arguments_told', 'tell_arguments']

Class = TypeVar('Class', bound=type)

COMPLAINT = re.compile(r"(\w+)\.__init__\(\) (got an unexpected keyword argument|got multiple values for argument|"
                       r"got multiple values for keyword argument|missing|takes) (.*)")


def tell_arguments(cls: Class) -> Class:
    """Let a class, and what inherits from it, say which argument is wrong, its value, and which there are.

    Arguments of a base class that it sets by itself stand in its attribute ``set_inside``, and are refused.

    Returns:
        the class; its ``__init__`` raises a TypeError of our words in the place of Python's.
    """
    build = cls.__init__
    if getattr(build, 'tells_arguments', False):
        return cls

    @functools.wraps(build)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        kind = type(self)
        with arguments_told(kind, args, kwargs):
            if kind.__init__ is __init__:  # not where an inheriting class sets them
                refuse_inside(kind, kwargs)
            build(self, *args, **kwargs)

    vars(__init__)['tells_arguments'] = True
    cls.__init__ = __init__
    return cls


def refuse_inside(cls: type, kwargs: Mapping) -> None:
    """Raise one TypeError where an argument is given that the class sets by itself."""
    for name in getattr(cls, 'set_inside', ()):
        if name in kwargs:
            raise TypeError(f'{cls.__name__}: {name}={kwargs[name]!r} is set by the class itself: leave it out.')


@contextlib.contextmanager
def arguments_told(cls: type, args: Sequence, kwargs: Mapping) -> Iterator[None]:
    """Build a class within: what Python says of arguments that it does not take is told with their values.

    Args:
        cls: the class that is built.
        args, kwargs: what it is given.

    Raises:
        TypeError: in the place of Python's, where that is about these arguments.
    """
    try:
        yield
    except TypeError as error:
        told = complaint(cls, str(error), args, kwargs)
        if told is None:
            raise
        raise TypeError(f'{cls.__name__}: {told}; its arguments are {", ".join(taken(cls)) or "none"}.') from error


def complaint(cls: type, text: str, args: Sequence, kwargs: Mapping) -> str | None:
    """What is wrong with the arguments by Python's text; None where that is about something else."""
    match = COMPLAINT.search(text)
    if not match or match[1] not in {base.__name__ for base in cls.__mro__}:
        return None
    names = re.findall(r"'(\w+)'", match[3])
    if match[2] == 'takes':
        given = ', '.join([*map(repr, args), *(f'{name}={value!r}' for name, value in kwargs.items())])
        return f'({given}) is too much'
    if match[2] == 'missing':
        return f'{" and ".join(names)} must be given' if names else None
    name = names[0]
    if name not in kwargs:
        return None
    if match[2] == 'got multiple values for argument':
        return f'{name}={kwargs[name]!r} is given by its name and by its place, give it once'
    if match[2] == 'got multiple values for keyword argument':
        return f'{name}={kwargs[name]!r} is set by the class itself, leave it out'
    return f'{name}={kwargs[name]!r} is no argument of it'


def taken(cls: type) -> list[str]:
    """The names of the arguments of a class, over all bases to which it passes further ones on."""
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if base in (nn.Module, object):
            break
        if '__init__' not in vars(base):
            continue
        parameters = list(inspect.signature(base).parameters.values())
        names.update(dict.fromkeys(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)))
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return [name for name in names if name not in getattr(cls, 'set_inside', ())]
