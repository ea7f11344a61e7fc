"""Table of effective receptive fields."""

from ..result import Comparison, short_names
from .table import Row, Table, differences

SECTION = 'Effective receptive field'  # title of the visualization section with the numbers


def receptive_field_table(comparison: Comparison) -> Table:
    """List sigma and area ratios of the effective receptive field of each stage; empty before visualization."""
    names = short_names(comparison)
    table = Table('Effective receptive field: size', names, note=(
        'Sigma: standard deviation of the position of the gradient in pixels (FINE, Eq. 12), and its ratio to the '
        'previous stage (Eq. 13). Area: percentage of the image covered by the smallest centered square that contains '
        'the given share of the gradient.'))
    section = next((section for section in comparison.visualization if section['title'] == SECTION), None)
    if section is None:
        return table
    stages = [{stage['name']: stage for stage in section['numbers'].get(name, [])} for name in names]
    for name in dict.fromkeys(name for own in stages for name in own):
        table.rows.extend(_stage_rows(name, [own.get(name, {}) for own in stages]))
    return table


def _stage_rows(name: str, entries: list[dict]) -> list[Row]:
    rows = [Row(f'{name}: sigma (px)', differences([entry.get('sigma') for entry in entries]), '.1f')]
    sigma_ratios = [entry.get('sigma_ratio') for entry in entries]
    if any(ratio is not None for ratio in sigma_ratios):
        rows.append(Row(f'{name}: sigma ratio to previous stage', differences(sigma_ratios), '.2f'))
    for share in dict.fromkeys(share for entry in entries for share in entry.get('area_ratios', {})):
        areas = [entry['area_ratios'][share] * 100 if entry else None for entry in entries]
        rows.append(Row(f'{name}: area of {share} (%)', differences(areas), '.1f'))
    return rows
