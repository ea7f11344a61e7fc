"""The parameter counts in the READMEs, which list parameters or the difference from the stock recipe."""
import re

import pytest
import recipe_files

import recipes

NUMBER = re.compile(r'(?<![\w.,-])-?\d[\d,]*(?![\w.,]*[\w])')


def cells(line):
    return [cell.strip() for cell in line.strip().strip('|').split('|')]


def rows():
    """(recipe, numbers in the columns with parameters) of each row in the READMEs."""
    for folder in recipes.FOLDERS:
        columns = []
        for line in (recipes.CONFIGS / folder / 'README.md').read_text().splitlines():
            if not line.startswith('|'):
                columns = []
            elif not columns:
                columns = [k for k, title in enumerate(cells(line)) if title.startswith(('parameters', 'added'))]
            elif name := re.fullmatch(r'`([\w./-]+\.py)`', cells(line)[0]):
                row = cells(line)
                counts = [int(number.replace(',', '')) for k in columns for number in
                          NUMBER.findall(re.sub(r'\(.*\)', '', row[k]))]
                if counts:
                    yield pytest.param((recipes.CONFIGS / folder / name[1]).resolve(), counts, id=f'{folder}/{name[1]}')


@pytest.mark.parametrize('path, counts', list(rows()))
def test_readme_lists_parameters(path, counts):
    ours, stock = recipe_files.parameters(path), recipe_files.parameters(recipe_files.stock_of(path))
    allowed = {ours, stock, ours - stock}
    if 'finetune' in path.stem:  # additional parameters for the identity start
        allowed.add(ours - recipe_files.parameters(recipe_files.base_of(path)))
    assert set(counts) <= allowed


def test_tables_with_counts_are_found():
    found = {param.values[0].parent for param in rows()}
    without_counts = {recipes.CONFIGS / folder for folder in ('scsa/datasets', 'fine/ablations')}
    assert found == {recipes.CONFIGS / folder for folder in recipes.FOLDERS} - without_counts
