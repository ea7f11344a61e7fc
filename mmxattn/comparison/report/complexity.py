"""Tables of what models cost: parameters and multiply-adds down to the swapped part, and what no rule counts."""

from ..result import labels
from .table import Cell, Row, Table, differences

SIZES = dict(k=1e3, M=1e6, G=1e9)
UNITS = """\
MACs: multiply-adds, each counted once. FLOPs: two a multiply-add. Counted for one image of {height}x{width} pixels,
from the padded image to the raw output of the heads, by torch.utils.flop_counter: convolutions, linear layers, matrix
products, attention (queries times keys, and the product with the values). A two-stage detector has as many proposals
as its test settings allow. What has no rule is in the table of uncounted operators."""


def cost_table(comparison):
    """Parameters, MACs and FLOPs of the whole models and of the submodules in which they differ.

    Args:
        comparison (Comparison): Its candidates' complexity is used.

    Returns:
        Table: Empty before anything is counted.
    """
    counted = [candidate.complexity for candidate in comparison.candidates]
    height, width = comparison.shape
    table = Table('What it costs', labels(comparison), note=UNITS.format(height=height, width=width))
    if not all(counted):
        return table
    table.rows.append(Row('Parameters (M)', differences([c.parameters / 1e6 for c in counted])))
    table.rows.append(Row('  of these trainable (M)', differences([c.trainable_parameters / 1e6 for c in counted])))
    table.rows.append(Row('MACs (G)', differences([c.macs / 1e9 for c in counted])))
    table.rows.append(Row('FLOPs (G)', differences([c.flops / 1e9 for c in counted])))
    for name in differing_modules([c.modules for c in counted]):
        costs = [c.modules.get(name) for c in counted]
        label = f'{name} ({" | ".join(dict.fromkeys(cost.type for cost in costs if cost))})'
        for attribute, what, units in (('parameters', 'parameters', 'Mk'), ('macs', 'MACs', 'GM'),
                                       ('flops', 'FLOPs', 'GM')):
            values = [getattr(cost, attribute) if cost else None for cost in costs]
            table.rows.append(_in_unit(f'{label}: {what}', values, units))
    table.note += ' ' + second_opinion(comparison)
    return table


def differing_modules(modules):
    """The model's own submodules, and those inside them in which the models differ, down to the swapped part.

    A module is opened where its inside differs in some places only; what is there in one model alone is not.

    Args:
        modules (list[dict[str, ModuleCost]]): Of each model by dotted name.

    Returns:
        list[str]: Dotted names in the models' order.
    """
    shown = []
    for name in _in_order(modules):
        parent = name.rpartition('.')[0]
        if parent and not (parent in shown and all(parent in own for own in modules)):
            continue
        if not parent or _differs(name, modules):
            shown.append(name)
    return [name for name in shown if any(own[name].parameters or own[name].macs for own in modules if name in own)]


def _in_order(modules):
    """All names, what is inside a module right behind it."""
    inside = {}
    for name in dict.fromkeys(name for own in modules for name in own):
        inside.setdefault(name.rpartition('.')[0], []).append(name)
    names, waiting = [], inside.get('', [])[::-1]
    while waiting:
        names.append(waiting.pop())
        waiting.extend(inside.get(names[-1], [])[::-1])
    return names


def _differs(name, modules):
    return any(own.get(name) != modules[0].get(name) for own in modules)


def _in_unit(name, values, units):
    """A row in the first of two units, or in the second where nothing would be left of three decimals."""
    large, small = units
    unit = large if max(value or 0 for value in values) >= 0.1 * SIZES[large] else small
    return Row(f'{name} ({unit})', differences([None if value is None else value / SIZES[unit] for value in values]))


def second_opinion(comparison):
    """A sentence: does another counter agree?"""
    sentences = []
    for name, candidate in zip(labels(comparison), comparison.candidates):
        second = candidate.complexity.second
        if second is None or second.failure:
            sentences.append(f'{name}: not counted a second time ({second.failure if second else "not asked for"}).')
        elif second.disagreements:
            where = '; '.join(f'{module or "the whole"} ({other:,} MACs, not {first:,})'
                              for module, first, other in second.disagreements)
            sentences.append(f'{name}: mmengine\'s counter, which traces the model, differs in {where}.')
        else:
            sentences.append(f'{name}: mmengine\'s counter, which traces the model, agrees in every module.')
    return ' '.join(sentences)


def uncounted_table(comparison):
    """The operators that no rule counts: calls, and elements of what they return.

    Args:
        comparison (Comparison): Its candidates' complexity is used.

    Returns:
        Table: Empty before anything is counted.
    """
    columns = [f'{label}: {what}' for label in labels(comparison) for what in ('calls', 'elements (M)')]
    table = Table('Uncounted operators', columns, note='Operators that compute something and have no rule in the count '
                  'of MACs, with the elements of what they return (for mmcv\'s compiled ones, of the largest tensor '
                  'that they are given).')
    counted = [candidate.complexity for candidate in comparison.candidates]
    if not all(counted):
        return table
    found = [{operator.name: operator for operator in c.uncounted} for c in counted]
    for name in dict.fromkeys(name for own in found for name in own):
        cells = []
        for own in found:
            operator = own.get(name)
            cells.append(Cell(str(operator.calls) if operator else None))
            cells.append(Cell(operator.elements / 1e6 if operator else None))
        table.rows.append(Row(name, cells))
    return table
