"""The page of the papers' tables: in step with the configs, and every difference explained."""
import contextlib
import importlib.util
from unittest import mock

import pytest
import torch

import recipes
from mmxattn.profiling.complexity import complexity
from mmxattn.utils.config import build_model, fingerprint, load_config

FOLDER = recipes.CONFIGS.parent / 'docs' / 'paper_tables'
spec = importlib.util.spec_from_file_location('make_paper_tables', FOLDER / 'make.py')
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)

TABLES = make.read_tables()
ROWS = [(table, row) for table in TABLES for row in table.rows]
COUNTS = make.Counts()
# What the papers print: a table's rows, and on how many of them parameters and operations.
TABLES_OF_THE_PAPERS = dict(
    scsa={'Table 1': (15, 0, 0), 'Table 2': (28, 28, 28), 'Table 3': (36, 36, 36), 'Table 4': (48, 0, 0),
          'Table 5': (14, 14, 14), 'Table 6': (8, 0, 0)},
    fine={'Table 1': (16, 16, 16), 'Table 2': (12, 12, 12), 'Table 3': (6, 6, 6), 'Table 4': (8, 0, 0),
          'Table 5': (2, 0, 0), 'Table 6': (3, 1, 0), 'Table 7': (6, 6, 6), 'Table 8': (6, 0, 6), 'Fig. 5': (6, 0, 4),
          'Fig. 7': (4, 0, 0)},
    cfsam={'Tables 1 and 4': (7, 5, 5), 'Table 2': (4, 0, 0), 'Table 3': (4, 0, 0), 'Table 5': (4, 0, 0),
           'Table 6': (4, 0, 0)},
    cla={'Table 1': (5, 5, 0), 'Table 2': (4, 0, 0), 'Table 3': (4, 0, 0), 'Sec. V': (6, 0, 0)})


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
def test_every_row_of_every_table_is_there(paper, table):
    """A heading's name goes on after a comma where a table is in parts: 'Table 2, Faster R-CNN'."""
    rows = [row for t, row in ROWS if (t.paper, t.table.split(',')[0]) == (paper, table) and not row.ours]
    parameters = [row for row in rows if row.params is not None or row.added_params is not None]
    operations = [row for row in rows if row.ops is not None]
    assert (len(rows), len(parameters), len(operations)) == TABLES_OF_THE_PAPERS[paper][table]


def test_there_is_no_other_table():
    assert {(t.paper, t.table.split(',')[0]) for t in TABLES} == {
        (paper, table) for paper, tables in TABLES_OF_THE_PAPERS.items() for table in tables}


def test_a_paper_without_a_place_on_the_page_is_told(tmp_path):
    (tmp_path / 'gate.yml').write_text('paper: gate\ntables: []\n')
    with pytest.raises(ValueError, match="gate.yml: paper='gate' is none of .* to PAPERS in make.py"):
        make.read_tables(tmp_path)


@pytest.mark.parametrize('table', TABLES, ids=lambda table: f'{table.paper}-{table.table}')
def test_no_row_is_there_twice(table):
    names = [row.row for row in table.rows]
    assert len(names) == len(set(names))
    linked = [row.config for row in table.rows if row.config]
    assert len(linked) == len(set(linked))


@pytest.mark.parametrize('table', [table for table in TABLES if table.size],
                         ids=lambda table: f'{table.paper}-{table.table}')
def test_an_operation_count_tells_its_size(table):
    """Over the table, or in the row where it is another."""
    assert f'Operations at {table.size[0]}x{table.size[1]}, ' in make.render_table(table, COUNTS)
    for row in table.rows:
        if row.config:
            operations = make.render_row(row, table, COUNTS).split(' | ')[4]
            size = operations.partition(' at ')[2]
            assert size == ('' if row.size == table.size else f'{row.size[0]}x{row.size[1]}')


def test_the_page_is_what_the_script_makes():
    assert make.PAGE.read_text() == make.render(TABLES, COUNTS)


@pytest.mark.parametrize('name', configs())
def test_parameters_are_those_of_the_config(name):
    cfg = load_config(make.locate(name))
    with uninitialised():
        model = build_model(cfg)
    assert COUNTS.parameters(name) == recipes.count(model)
    assert COUNTS.known[name]['model'] == fingerprint(type(cfg)(dict(model=cfg.model))), 'run docs/paper_tables/make.py'


@pytest.mark.parametrize('name', ['cfsam/ssd300_cfsam_1xb48-260e_voc0712.py',
                                  'cla/segformer_mit-b0_cla_1xb8-320k_ade20k-512x512.py'])
def test_multiply_adds_are_those_of_the_config(name):
    """On tensors with data and without."""
    size, macs = next(iter(COUNTS.known[name]['macs'].items()))
    cfg, size = load_config(make.locate(name)), tuple(map(int, size.split('x')))
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
