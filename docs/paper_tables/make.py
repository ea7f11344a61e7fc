"""Make docs/paper_tables.md: every row of the papers' tables with its config, our counts and the published ones.

    python docs/paper_tables/make.py

The tables stand in the .yml files beside this one, as the papers print them. What a model costs is counted from its
config and kept in counts.json, so that a second run counts what has changed and nothing else.
"""
import json
import re
import sys
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import yaml
from tqdm import tqdm

from mmxattn.profiling.complexity import complexity
from mmxattn.utils.config import build_model, fingerprint, load_config
from mmxattn.utils.atomic_files import write_atomic

FOLDER = Path(__file__).parent
CONFIGS = FOLDER.parents[1] / 'configs'
COUNTS = FOLDER / 'counts.json'
PAGE = FOLDER.parent / 'paper_tables.md'


class Loader(yaml.SafeLoader):
    """YAML whose numbers keep the decimals that they are printed with."""


Loader.add_constructor('tag:yaml.org,2002:float', lambda loader, node: Decimal(loader.construct_scalar(node)))


@dataclass(frozen=True)
class Row:
    """A row of a paper's table.

    Attributes:
        row: Its name there.
        config: Under configs/, or 'mmdet::...' for a stock one; None for a model that is only quoted.
        ours: Whether it is not a row of the paper.
        size: Height and width in pixels at which operations are counted.
        params: Published parameters, in millions.
        ops: Published operations, in billions, as the paper counts them.
        added_params: Published parameters over another row's, in units.
        over: The config of that row.
        note: Why the counts differ, or why there is no config.
    """

    row: str
    config: str = None
    ours: bool = False
    size: tuple = None
    params: Decimal = None
    ops: Decimal = None
    added_params: int = None
    over: str = None
    note: str = ''


@dataclass(frozen=True)
class Table:
    """A table of a paper; ``ops_per_mac`` is how many operations the paper counts for a multiply-add, 1 or 2."""

    table: str
    about: str
    rows: list
    size: tuple = None
    ops_per_mac: int = 1
    note: str = ''
    paper: str = field(default='', compare=False)


def read_tables(folder: Path = FOLDER) -> list[Table]:
    """The tables of all .yml files, in the order of their names.

    Raises:
        ValueError: a file is of a paper that has no place on the page.
    """
    tables = []
    for file in sorted(folder.glob('*.yml')):
        content = yaml.load(file.read_text(), Loader)
        if content['paper'] not in PAPERS:
            raise ValueError(f'{file.name}: paper={content["paper"]!r} is none of {list(PAPERS)}: add it, with its '
                             'title, to PAPERS in make.py.')
        for entry in content['tables']:
            rows = [Row(**{'size': entry.get('size'), **row}) for row in entry['rows']]
            tables.append(Table(**{**entry, 'rows': rows}, paper=content['paper']))
    return tables


def locate(config: str) -> Path:
    """The file of a config's name: one of ours, or with PACKAGE:: before it one of a toolbox."""
    package, _, name = config.rpartition('::')
    return Path(__import__(package).__path__[0]) / '.mim' / 'configs' / name if package else CONFIGS / name


def count_macs(cfg, size: tuple[int, int]) -> int:
    """Multiply-adds of a model: on tensors without data, or computed where an operator has to see its data."""
    try:
        return complexity(build_model(cfg).to('meta'), size, crosscheck=False).macs
    except (NotImplementedError, RuntimeError):
        return complexity(build_model(cfg), size, crosscheck=False).macs


class Counts:
    """What models cost, kept in a file: {config: {parameters, macs by size, fingerprint of its model}}."""

    def __init__(self, file: Path = COUNTS):
        self.file = file
        self.known = json.loads(file.read_text()) if file.exists() else {}

    def update(self, config: str, size) -> None:
        """Count a model, unless it is known and as it was."""
        cfg = load_config(locate(config))
        size_name = 'x'.join(map(str, size)) if size else None
        entry = self.known.get(config)
        if entry is None or entry['model'] != fingerprint(type(cfg)(dict(model=cfg.model))):
            entry = dict(model=fingerprint(type(cfg)(dict(model=cfg.model))), parameters=None, macs={})
        if entry['parameters'] is None or size_name and size_name not in entry['macs']:
            entry['parameters'] = sum(p.numel() for p in build_model(cfg).parameters())
            if size_name:
                entry['macs'][size_name] = count_macs(cfg, tuple(size))
        self.known[config] = entry
        self.save()

    def forget_all_but(self, configs: set[str]) -> None:
        """Drop the counts of configs that no row names any more."""
        self.known = {name: entry for name, entry in self.known.items() if name in configs}
        self.save()

    def save(self) -> None:
        """Write the file, whole or not at all."""
        write_atomic(self.file, (json.dumps(dict(sorted(self.known.items())), indent=1) + '\n').encode())

    def parameters(self, config: str) -> int:
        return self.known[config]['parameters']

    def macs(self, config: str, size) -> int:
        return self.known[config]['macs']['x'.join(map(str, size))]


def rounded(value: float, like: Decimal) -> Decimal:
    """A value with as many decimals as another."""
    return Decimal(value).quantize(Decimal(1).scaleb(Decimal(like).as_tuple().exponent))


def cell(value: float, published) -> tuple[str, str]:
    """Ours and the published figure, as the page has them; ours bold where it is the same to the last digit."""
    if published is None:
        return f'{value:,.3f}', ''
    same = rounded(value, published) == published
    return f'**{value:,.3f}**' if same else f'{value:,.3f}', f'{published:,}'


def disagrees(row: Row, table: Table, counts: Counts) -> bool:
    """Whether a count of ours, rounded as the paper's, is another."""
    if row.config is None:
        return False
    ours = counts.parameters(row.config)
    pairs = [(ours / 1e6, row.params)]
    if row.size:
        pairs.append((table.ops_per_mac * counts.macs(row.config, row.size) / 1e9, row.ops))
    if row.added_params is not None and ours - counts.parameters(row.over) != row.added_params:
        return True
    return any(published is not None and rounded(value, published) != published for value, published in pairs)


def render_row(row: Row, table: Table, counts: Counts) -> str:
    if row.config is None:
        published = ['' if x is None else f'{x:,}' for x in (row.params, row.ops)]
        return f'| {row.row} | | | {published[0]} | | {published[1]} | {row.note} |'
    ours = counts.parameters(row.config)
    notes = ['ours, not a row of the paper'] if row.ours else []
    if row.added_params is not None:
        notes.append(f'+{ours - counts.parameters(row.over):,} parameters, published +{row.added_params:,}')
    note = '; '.join(notes + [row.note] if row.note else notes)
    params = cell(ours / 1e6, row.params)
    ops = ('', '')
    if row.size:
        ops = cell(table.ops_per_mac * counts.macs(row.config, row.size) / 1e9, row.ops)
        if row.size != table.size:
            ops = (f'{ops[0]} at {row.size[0]}x{row.size[1]}', ops[1])
    link = f'`{row.config}`' if '::' in row.config else f'[{Path(row.config).stem}](../configs/{row.config})'
    return f'| {row.row} | {link} | {params[0]} | {params[1]} | {ops[0]} | {ops[1]} | {note} |'


PAPERS = dict(
    scsa='SCSA: Exploring the Synergistic Effects Between Spatial and Channel Attention',
    fine='FINE: Context-Guided Semantic Alignment for Feature Fusion Networks',
    cfsam='CFSAM: Cross-Layer Feature Self-Attention Module for Multi-Scale Object Detection',
    cla='CLA: Utilizing Cross Layer Attentions for Semantic Segmentation of Small Objects')

HEAD = """# The papers' tables, row by row

Made by `python docs/paper_tables/make.py` from the configs; the published figures are the papers'. Parameters are in
millions, operations in billions, counted as the paper counts them (one or two a multiply-add, at the size that the
table or the row names). A count of ours is **bold** where it is the published one to the last printed digit; where it
is not, the note or the text over the table says why. Parameters are those of the whole model, auxiliary heads
included. Accuracies have not been measured here: they take the papers' data sets and GPUs. Each config trains as it
stands.
"""


def render_table(table: Table, counts: Counts) -> str:
    text = [table.note]
    if table.size:
        text.append(f'Operations at {table.size[0]}x{table.size[1]}, {("one", "two")[table.ops_per_mac - 1]} a '
                    'multiply-add.')
    return '\n'.join([f'\n### {table.table}: {table.about}\n', ' '.join(text).strip(), '',
                      '| row | config | parameters | published | operations | published | note |',
                      '| --- | --- | ---: | ---: | ---: | ---: | --- |',
                      *(render_row(row, table, counts) for row in table.rows)]) + '\n'


def place(table: Table) -> tuple[bool, int]:
    """Where a table stands in its paper: tables before figures and the rest, by their numbers."""
    numbers = re.findall(r'\d+', table.table)
    return not table.table.startswith('Table'), int(numbers[0]) if numbers else 0


def render(tables: list[Table], counts: Counts) -> str:
    """The page."""
    parts = [HEAD]
    for paper, title in PAPERS.items():
        parts.append(f'\n## {title}\n')
        parts += [render_table(table, counts)
                  for table in sorted((table for table in tables if table.paper == paper), key=place)]
    return ''.join(parts)


def main() -> int:
    tables, counts = read_tables(), Counts()
    rows = [row for table in tables for row in table.rows if row.config]
    try:
        for row in tqdm(rows, unit='row', file=sys.stderr):
            counts.update(row.config, row.size)
            if row.over:
                counts.update(row.over, row.size)
        counts.forget_all_but({name for row in rows for name in (row.config, row.over)})
    except KeyboardInterrupt:
        print('Stopped; what is counted is kept. To go on, run this again.', file=sys.stderr)
        return 1
    PAGE.write_text(render(tables, counts))
    return 0


if __name__ == '__main__':
    sys.exit(main())
