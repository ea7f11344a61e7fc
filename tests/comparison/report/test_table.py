import pytest

from mmxattn.comparison.report.table import Cell, Row, Table, differences, ratios


@pytest.mark.parametrize('cell, form, text', [
    (Cell(), '.3f', '-'),
    (Cell('failed'), '.3f', 'failed'),
    (Cell(0.4226), '.3f', '0.423'),
    (Cell(7, -3), 'd', '7 (-3)'),
    (Cell(0.4, 0.012), '.3f', '0.400 (+0.012)'),
    (Cell(0.4, 0.012, -0.003, 0.0271), '.3f', '0.400 (+0.012, -0.003 to +0.027)'),
    (Cell(0.4, 0.012, spread=0.01), '.2f', '0.40 ±0.01 (+0.01)'),
    (Cell(20.0, 2.0, 1.9, 2.1, relative=True), '.1f', '20.0 (x2.000, 1.900 to 2.100)'),
    (Cell(0.03, lower=0.01, upper=0.05), '+.2f', '+0.03 (+0.01 to +0.05)'),
    (Cell(0.03, spread=0.01), '+.2f', '+0.03 ±0.01'),
])
def test_cell_text(cell, form, text):
    assert cell.text(form) == text


def test_changes_are_relative_to_the_first_value():
    assert [cell.change for cell in differences([1, 3, None])] == [None, 2, None]
    assert [cell.change for cell in differences([None, 3])] == [None, None]
    assert [cell.change for cell in ratios([2, 3])] == [None, 1.5]
    assert [cell.change for cell in ratios([0, 3])] == [None, None]


def test_table_without_rows_is_false():
    assert not Table('empty', ['a'])
    assert Table('one', ['a'], [Row('row', [Cell(1.0)])])
