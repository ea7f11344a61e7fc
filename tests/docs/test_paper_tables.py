"""The page of the papers' tables: in step with the configs, and every difference explained."""
import contextlib
import importlib.util
import re
from unittest import mock

import pytest
import torch

import recipes
from mmxattn.analysis.complexity import complexity
from mmxattn.analysis.recipe import build_model, fingerprint, load_recipe

FOLDER = recipes.CONFIGS.parent / 'docs' / 'paper_tables'
spec = importlib.util.spec_from_file_location('make_paper_tables', FOLDER / 'make.py')
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)

TABLES = make.read_tables()
ROWS = [(table, row) for table in TABLES for row in table.rows]
COUNTS = make.Counts()
TABLES_OF_THE_PAPERS = dict(
    scsa=['Table 1', 'Table 2', 'Table 3', 'Table 4', 'Table 5', 'Table 6'],
    fine=['Table 1', 'Table 2', 'Table 3', 'Table 4', 'Table 5', 'Table 6', 'Table 7', 'Table 8', 'Fig. 5', 'Fig. 7'],
    cfsam=['Table 1', 'Table 2', 'Table 3', 'Table 4', 'Table 5', 'Table 6'],
    cla=['Table 1', 'Table 2', 'Table 3'])


def configs():
    return sorted({name for _, row in ROWS for name in (row.config, row.over) if name})


@contextlib.contextmanager
def uninitialised():
    """Models are built as they are, without drawing weights: a count does not need them."""
    with contextlib.ExitStack() as stack:
        for name in dir(torch.nn.init):
            if name.endswith('_') and not name.startswith('_'):
                stack.enter_context(mock.patch.object(torch.nn.init, name, lambda tensor, *args, **kwargs: tensor))
        yield


@pytest.mark.parametrize('paper, table', [(paper, table) for paper, tables in TABLES_OF_THE_PAPERS.items()
                                          for table in tables])
def test_every_table_of_every_paper_is_there(paper, table):
    """A heading may be of one, 'Table 2, Faster R-CNN', or of several, 'Tables 1 and 4'."""
    kind, number = table.split()
    names = [t.table for t in TABLES if t.paper == paper and t.table.startswith(kind)]
    assert any(number in re.findall(r'\d+', name.split(',')[0]) for name in names), names


def test_the_page_is_what_the_script_makes():
    assert make.PAGE.read_text() == make.render(TABLES, COUNTS)


@pytest.mark.parametrize('name', configs())
def test_parameters_are_those_of_the_config(name):
    cfg = load_recipe(make.locate(name))
    with uninitialised():
        model = build_model(cfg)
    assert COUNTS.parameters(name) == recipes.count(model)
    assert COUNTS.known[name]['model'] == fingerprint(type(cfg)(dict(model=cfg.model))), 'run docs/paper_tables/make.py'


@pytest.mark.parametrize('name', ['cfsam/ssd300_cfsam_1xb48-260e_voc0712.py',
                                  'cla/segformer_mit-b0_cla_1xb8-320k_ade20k-512x512.py'])
def test_multiply_adds_are_those_of_the_config(name):
    """On tensors with data and without."""
    size, macs = next(iter(COUNTS.known[name]['macs'].items()))
    cfg, size = load_recipe(make.locate(name)), tuple(map(int, size.split('x')))
    assert complexity(build_model(cfg), size, crosscheck=False).macs == macs
    assert make.count_macs(cfg, size) == macs


@pytest.mark.parametrize('table, row', [pytest.param(table, row, id=f'{table.paper}-{table.table}-{row.row}')
                                        for table, row in ROWS])
def test_a_count_that_is_not_the_published_one_is_explained(table, row):
    if row.config is None:
        assert row.note, 'a row without a config says why'
    elif make.disagrees(row, table, COUNTS):
        assert row.note or table.note


def test_recipes_of_ours_that_the_tables_name_are_published():
    ours = {path.relative_to(recipes.CONFIGS).as_posix() for _, path in recipes.published()}
    assert [name for name in configs() if '::' not in name and name not in ours] == []
