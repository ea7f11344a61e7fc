"""What stock classes only assert of their arguments, told with the values."""
import contextlib
import traceback
from collections.abc import Iterator, Mapping, Sequence

__all__ = ['StockRuleError', 'stock_rules']


class StockRuleError(ValueError, AssertionError):
    """An argument that a stock class refuses. It ends in an AssertionError, which callers may go on catching."""


@contextlib.contextmanager
def stock_rules(owner: str, args: Sequence, kwargs: Mapping) -> Iterator[None]:
    """Build a stock base class within: a bare ``assert`` of it is told with its condition and with what was given.

    Args:
        owner: name of the class that is built.
        args, kwargs: what it was given.

    Raises:
        StockRuleError: in the place of a bare AssertionError.
    """
    try:
        yield
    except AssertionError as error:
        if isinstance(error, ValueError):  # told already
            raise
        frame = traceback.extract_tb(error.__traceback__)[-1]
        given = ', '.join([*map(repr, args), *(f'{name}={value!r}' for name, value in kwargs.items())])
        told = str(error) or (frame.line or 'an assertion').removeprefix('assert ').rstrip('\\ ')
        raise StockRuleError(f'{owner}({given}): {frame.name} in {frame.filename.rpartition("/")[2]} asks for '
                             f'"{told}"; change the arguments that this names.') from error
