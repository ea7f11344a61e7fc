"""docs/paper_tables.md: complete, up to date, and with an explanation of every difference."""
import importlib.util

import pytest
import recipe_files

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
# Number of rows in the papers, of rows with parameters, and of rows with operations.
PAPER_TABLES = dict(
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


@pytest.mark.parametrize('paper, table', [(paper, table) for paper, tables in PAPER_TABLES.items()
                                          for table in tables])
def test_table_has_all_rows(paper, table):
    """Parts of a table have a suffix, such as 'Table 2, Faster R-CNN'."""
    rows = [row for t, row in ROWS if (t.paper, t.table.split(',')[0]) == (paper, table) and not row.ours]
    parameters = [row for row in rows if row.params is not None or row.added_params is not None]
    operations = [row for row in rows if row.ops is not None]
    assert (len(rows), len(parameters), len(operations)) == PAPER_TABLES[paper][table]


def test_all_tables_are_in_the_papers():
    assert {(t.paper, t.table.split(',')[0]) for t in TABLES} == {
        (paper, table) for paper, tables in PAPER_TABLES.items() for table in tables}


def test_unknown_paper_is_rejected(tmp_path):
    (tmp_path / 'gate.yml').write_text('paper: gate\ntables: []\n')
    with pytest.raises(ValueError, match="gate.yml: paper must be one of .*, got 'gate'.*PAPERS in make.py"):
        make.read_tables(tmp_path)


@pytest.mark.parametrize('table', TABLES, ids=lambda table: f'{table.paper}-{table.table}')
def test_rows_are_unique(table):
    names = [row.row for row in table.rows]
    assert len(names) == len(set(names))
    linked = [row.config for row in table.rows if row.config]
    assert len(linked) == len(set(linked))


@pytest.mark.parametrize('table', [table for table in TABLES if table.size],
                         ids=lambda table: f'{table.paper}-{table.table}')
def test_size_of_operations_is_stated(table):
    """In the text of the table, or in the row if it differs."""
    assert f'Operations at {table.size[0]}x{table.size[1]}, ' in make.render_table(table, COUNTS)
    for row in table.rows:
        if row.config:
            operations = make.render_row(row, table, COUNTS).split(' | ')[4]
            size = operations.partition(' at ')[2]
            assert size == ('' if row.size == table.size else f'{row.size[0]}x{row.size[1]}')


def test_page_is_up_to_date():
    assert make.PAGE.read_text() == make.render(TABLES, COUNTS)


@pytest.mark.parametrize('name', configs())
def test_cached_parameters_match_config(name):
    cfg = load_config(make.find_config(name))
    with recipe_files.skip_init():
        model = build_model(cfg)
    assert COUNTS.parameters(name) == recipes.count(model)
    model_fingerprint = fingerprint(type(cfg)(dict(model=cfg.model)))
    assert COUNTS.entries[name]['model'] == model_fingerprint, 'run docs/paper_tables/make.py'


@pytest.mark.parametrize('name', [pytest.param('cfsam/ssd300_cfsam_1xb48-260e_voc0712.py', marks=pytest.mark.slow),
                                  'cla/segformer_mit-b0_cla_1xb8-320k_ade20k-512x512.py'])
def test_cached_multiply_adds_match_config(name):
    """On the CPU and on the meta device."""
    size, macs = next(iter(COUNTS.entries[name]['macs'].items()))
    cfg, size = load_config(make.find_config(name)), tuple(map(int, size.split('x')))
    assert complexity(build_model(cfg), size, crosscheck=False).macs == macs
    assert make.count_macs(cfg, size) == macs


@pytest.mark.parametrize('table, row', [pytest.param(table, row, id=f'{table.paper}-{table.table}-{row.row}')
                                        for table, row in ROWS])
def test_different_counts_are_explained(table, row):
    if row.config is None:
        assert row.note
    elif make.differs(row, table, COUNTS):
        assert row.note or table.note


def test_linked_recipes_are_published():
    ours = {path.relative_to(recipes.CONFIGS).as_posix() for _, path in recipes.published()}
    assert [name for name in configs() if '::' not in name and name not in ours] == []
