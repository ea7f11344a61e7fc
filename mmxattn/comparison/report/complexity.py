"""Tables of complexity: parameters and multiply-adds down to the replaced module, and uncounted operators."""

from collections.abc import Sequence

from ...profiling.complexity import Complexity, ModuleCost
from ..result import Comparison, short_names
from .table import Cell, Row, Table, differences

SCALES = {'k': 1e3, 'M': 1e6, 'G': 1e9}
NOTE = """\
MACs: multiply-adds. FLOPs: two per multiply-add. Counted by torch.utils.flop_counter for one image of {height}x{width}
pixels, from the padded image to the raw output of the heads: convolutions, linear layers, matrix products, and both
products of attention. Two-stage detectors are counted with the maximum number of proposals in their test settings.
Operators without a formula are listed under "Uncounted operators"."""


def complexity_table(comparison: Comparison) -> Table:
    """List parameters, MACs and FLOPs of the models and of the modules in which they differ; empty before counting."""
    counts = [recipe.complexity for recipe in comparison.recipes]
    height, width = comparison.shape
    table = Table('Complexity', short_names(comparison), note=NOTE.format(height=height, width=width))
    if not all(counts):
        return table
    table.rows = [
        Row('Parameters (M)', differences([count.parameters / 1e6 for count in counts])),
        Row('Trainable parameters (M)', differences([count.trainable_parameters / 1e6 for count in counts])),
        Row('MACs (G)', differences([count.macs / 1e9 for count in counts])),
        Row('FLOPs (G)', differences([count.flops / 1e9 for count in counts])),
    ]
    for name in differing_modules([count.modules for count in counts]):
        table.rows.extend(_module_rows(name, [count.modules.get(name) for count in counts]))
    table.note += ' ' + crosscheck_note(comparison)
    return table


def differing_modules(modules: Sequence[dict[str, ModuleCost]]) -> list[str]:
    """Find the modules that a comparison should show.

    These are the top-level modules, and inside a module that all models share, the children in which they differ.

    Args:
        modules: Cost of each module by dotted name, one dict per model.

    Returns:
        Dotted names in the order of the models.
    """
    shown = []
    for name in _depth_first(modules):
        parent = name.rpartition('.')[0]
        is_open = parent in shown and all(parent in own for own in modules)
        if not parent or (is_open and any(own.get(name) != modules[0].get(name) for own in modules)):
            shown.append(name)
    return [name for name in shown if any(own[name].parameters or own[name].macs for own in modules if name in own)]


def crosscheck_note(comparison: Comparison) -> str:
    """Describe whether the second counter agrees."""
    sentences = []
    for name, recipe in zip(short_names(comparison), comparison.recipes):
        check = recipe.complexity.crosscheck
        if check is None or check.failure:
            sentences.append(f'{name}: not cross-checked ({check.failure if check else "disabled"}).')
        elif check.disagreements:
            where = '; '.join(f'{module or "the model"} ({other:,} MACs instead of {count:,})'
                              for module, count, other in check.disagreements)
            sentences.append(f'{name}: the tracing counter of mmengine disagrees in {where}.')
        else:
            sentences.append(f'{name}: the tracing counter of mmengine agrees in every module.')
    return ' '.join(sentences)


def uncounted_table(comparison: Comparison) -> Table:
    """List the operators without a formula; empty before counting."""
    columns = [f'{name}: {quantity}' for name in short_names(comparison) for quantity in ('calls', 'elements (M)')]
    table = Table('Uncounted operators', columns, note=(
        'Operators that compute something but have no formula for MACs. Elements: size of their outputs, or of the '
        'largest input for compiled operators of mmcv.'))
    counts = [recipe.complexity for recipe in comparison.recipes]
    if all(counts):
        table.rows = _uncounted_rows(counts)
    return table


def _module_rows(name: str, costs: Sequence[ModuleCost | None]) -> list[Row]:
    types = ' | '.join(dict.fromkeys(cost.type for cost in costs if cost))
    rows = []
    for attribute, label, units in (('parameters', 'parameters', 'Mk'), ('macs', 'MACs', 'GM'),
                                    ('flops', 'FLOPs', 'GM')):
        values = [getattr(cost, attribute) if cost else None for cost in costs]
        rows.append(_scaled_row(f'{name} ({types}): {label}', values, *units))
    return rows


def _scaled_row(name: str, values: Sequence[float | None], large: str, small: str) -> Row:
    """Create a row in the larger unit, or in the smaller one if three decimals are too few for the larger."""
    unit = large if max(value or 0 for value in values) >= 0.1 * SCALES[large] else small
    return Row(f'{name} ({unit})', differences([None if value is None else value / SCALES[unit] for value in values]))


def _depth_first(modules: Sequence[dict[str, ModuleCost]]) -> list[str]:
    """Return the names of all models, each module followed by its children."""
    children: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for own in modules for name in own):
        children.setdefault(name.rpartition('.')[0], []).append(name)
    names, stack = [], children.get('', [])[::-1]
    while stack:
        names.append(stack.pop())
        stack.extend(children.get(names[-1], [])[::-1])
    return names


def _uncounted_rows(counts: Sequence[Complexity]) -> list[Row]:
    operators = [{operator.name: operator for operator in count.uncounted} for count in counts]
    rows = []
    for name in dict.fromkeys(name for own in operators for name in own):
        cells = []
        for own in operators:
            operator = own.get(name)
            cells.append(Cell(str(operator.calls) if operator else None))
            cells.append(Cell(operator.elements / 1e6 if operator else None))
        rows.append(Row(name, cells))
    return rows
