"""The table of effective receptive fields."""

from ..result import labels
from .table import Row, Table, differences

TITLE = 'Effective receptive field'  # of the section that has the pictures


def receptive_field_table(comparison):
    """Size of each stage's effective receptive field, its ratio to the stage before, and area ratios.

    Args:
        comparison (Comparison): Its looks are used.

    Returns:
        Table: Empty before they are made.
    """
    names = labels(comparison)
    table = Table('Size of receptive fields', names, note=(
        'Sigma: standard deviation of the gradient\'s place in pixels (FINE, Eq. 12); its ratio to the stage before '
        '(Eq. 13). Area: percent of the image that the smallest centred square with that share of the gradient takes.'))
    section = next((section for section in comparison.looks if section['title'] == TITLE), None)
    if section is None:
        return table
    found = [{stage['name']: stage for stage in section['numbers'].get(name, [])} for name in names]
    for stage in dict.fromkeys(name for own in found for name in own):
        entries = [own.get(stage, {}) for own in found]
        table.rows.append(Row(f'{stage}: sigma (px)', differences([e.get('sigma') for e in entries]), '.1f'))
        ratios = [e.get('sigma_ratio') for e in entries]
        if any(ratio is not None for ratio in ratios):
            table.rows.append(Row(f'{stage}: ratio to the stage before', differences(ratios), '.2f'))
        for share in dict.fromkeys(share for e in entries for share in e.get('area_ratios', {})):
            areas = [e['area_ratios'][share] * 100 if e else None for e in entries]
            table.rows.append(Row(f'{stage}: area of {share} (%)', differences(areas), '.1f'))
    return table
