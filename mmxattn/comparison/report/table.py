"""Tables of numbers, as shown in the reports and on the terminal, and stored in report.json."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Cell:
    """One quantity of one recipe.

    Attributes:
        value: Number or text, or None if there is none.
        change: Difference from the baseline, or ratio to it if ``relative``; None to show none.
        lower: Lower end of the interval of the change, or of the value if there is no change; None to show none.
        upper: Upper end of that interval.
        spread: Standard deviation over seeds; None to show none.
        relative: Whether ``change`` is a ratio.
    """

    value: float | str | None = None
    change: float | None = None
    lower: float | None = None
    upper: float | None = None
    spread: float | None = None
    relative: bool = False

    def text(self, form: str) -> str:
        """Format the cell, for example as ``0.423 ±0.010 (+0.012, -0.003 to +0.027)``.

        Args:
            form: Format spec of values and differences, such as ``.3f``. Ratios always have three decimals.

        Returns:
            The text, or a dash if there is no value.
        """
        if self.value is None:
            return '-'
        if isinstance(self.value, str):
            return self.value
        text = f'{self.value:{form}}'
        if self.spread is not None:
            text += f' ±{self.spread:{form.lstrip("+")}}'
        if self.change is not None:
            text += f' ({self._change_text(form)})'
        elif self.lower is not None:
            text += f' ({self.lower:{form}} to {self.upper:{form}})'
        return text

    def _change_text(self, form: str) -> str:
        prefix, form = ('x', '.3f') if self.relative else ('', f'+{form}')
        text = f'{prefix}{self.change:{form}}'
        return text if self.lower is None else f'{text}, {self.lower:{form}} to {self.upper:{form}}'


@dataclass
class Row:
    """One quantity of all recipes.

    Attributes:
        name: Name with unit.
        cells: One cell per column.
        form: Format spec of the numbers.
    """

    name: str
    cells: list[Cell]
    form: str = '.3f'

    def texts(self) -> list[str]:
        """Format the cells."""
        return [cell.text(self.form) for cell in self.cells]


@dataclass
class Table:
    """A table, which is falsy if it has no rows.

    Attributes:
        title: Title of the table.
        columns: Names of the columns.
        rows: Rows of the table.
        note: Text below the table: units, definitions, how to read it.
    """

    title: str
    columns: list[str]
    rows: list[Row] = field(default_factory=list)
    note: str = ''

    def __bool__(self) -> bool:
        return bool(self.rows)


def differences(values: Sequence[float | None]) -> list[Cell]:
    """Create cells with the difference of each value from the first one."""
    first = values[0]
    return [Cell(value, None if index == 0 or value is None or first is None else value - first)
            for index, value in enumerate(values)]


def ratios(values: Sequence[float | None]) -> list[Cell]:
    """Create cells with the ratio of each value to the first one."""
    first = values[0]
    return [Cell(value, None if index == 0 or value is None or not first else value / first, relative=True)
            for index, value in enumerate(values)]
