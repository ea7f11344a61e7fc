"""A table of numbers: what report.html, report.md and the terminal show, and report.json keeps."""

from dataclasses import dataclass, field


@dataclass
class Cell:
    """One quantity of one recipe.

    Attributes:
        value: The number, or a text; None where there is none.
        change: Against the first recipe: a difference, or a ratio if ``relative``; None to show none.
        lower: Of an interval around the change, or around the value where there is none; None to show none.
        upper: Likewise.
        spread: Standard deviation over seeds; None to show none.
        relative: Whether ``change`` is a ratio.
    """

    value: object = None
    change: float = None
    lower: float = None
    upper: float = None
    spread: float = None
    relative: bool = False

    def text(self, form):
        """As it is printed: ``0.423 ±0.010 (+0.012, -0.003 to +0.027)``.

        Args:
            form (str): Format of the number, ``.3f``; differences have the same, ratios two decimals.

        Returns:
            str: The text; a dash for nothing.
        """
        if self.value is None:
            return '-'
        if isinstance(self.value, str):
            return self.value
        text = f'{self.value:{form}}'
        if self.spread is not None:
            text += f' ±{self.spread:{form.lstrip("+")}}'
        if self.change is None and self.lower is not None:
            text += f' ({self.lower:{form}} to {self.upper:{form}})'
        return text + (f' ({self._change(form)})' if self.change is not None else '')

    def _change(self, form):
        if self.relative:
            text = f'x{self.change:.3f}'
            return text if self.lower is None else f'{text}, {self.lower:.3f} to {self.upper:.3f}'
        text = f'{self.change:+{form}}'
        return text if self.lower is None else f'{text}, {self.lower:+{form}} to {self.upper:+{form}}'


@dataclass
class Row:
    """One quantity.

    Attributes:
        name: With its unit.
        cells: :class:`Cell`, one a column.
        form: Format of the numbers.
    """

    name: str
    cells: list
    form: str = '.3f'

    def texts(self):
        """The cells as they are printed."""
        return [cell.text(self.form) for cell in self.cells]


@dataclass
class Table:
    """Rows of one subject.

    Attributes:
        title: A few words.
        columns: Heads of the cells' columns.
        rows: :class:`Row`.
        note: Sentences below: units, rules, what to make of it.
    """

    title: str
    columns: list
    rows: list = field(default_factory=list)
    note: str = ''

    def __bool__(self):
        return bool(self.rows)


def differences(values):
    """Cells of some values, all but the first with their difference from it.

    Args:
        values (list[float]): One a recipe; None where there is none.

    Returns:
        list[Cell]: As many.
    """
    first = values[0]
    return [Cell(value, None if place == 0 or value is None or first is None else value - first)
            for place, value in enumerate(values)]


def ratios(values):
    """As :func:`differences`, with the ratio to the first."""
    first = values[0]
    return [Cell(value, None if place == 0 or value is None or not first else value / first, relative=True)
            for place, value in enumerate(values)]
