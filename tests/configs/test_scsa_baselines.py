"""SCSA's Tables 3, 5 and 6: each baseline's recipe changes the plugin, has the published count, and takes any place."""
import copy
import functools
import re
from decimal import ROUND_HALF_UP, Decimal

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import init_default_scope

import recipes
from mmxattn import models

FOLDER = recipes.CONFIGS / 'scsa' / 'baselines'
RECIPES = sorted(FOLDER.glob('*.py'))
TABLES = yaml.safe_load((recipes.CONFIGS.parent / 'docs' / 'paper_tables' / 'scsa_dense.yml').read_text())['tables']
SWITCH = {'model.backbone.plugins.0.position': 'after_conv2'}  # as --cfg-options has it


def slow_if(deep):
    """ResNet-101 is ResNet-50, slower."""
    return [pytest.mark.slow] if deep else []


ROWS = [pytest.param(row, id=f"{entry['table']}, {row['row']}", marks=slow_if('101' in row['row']))
        for entry in TABLES for row in entry['rows'] if row['params'] is not None]
EVERY_RECIPE = pytest.mark.parametrize(
    'path', [pytest.param(path, id=path.stem, marks=slow_if('_r101' in path.stem)) for path in RECIPES])

def baseline_of(path):
    name = re.search(r'_r\d+-([a-z]+)_', path.stem).group(1)
    return getattr(models, name.upper())


def as_printed(count):
    """Millions, as mmengine's tool prints them (three decimals), rounded to the table's two."""
    millions = Decimal(count) / 10**6
    for places in ('0.001', '0.01'):
        millions = millions.quantize(Decimal(places), ROUND_HALF_UP)
    return float(millions)


@functools.cache
def read(path):
    return Config.fromfile(path)


def load(name):
    """A config by its name in the tables."""
    package, _, path = name.rpartition('::')
    root = f'{__import__(package).__path__[0]}/.mim/configs' if package else recipes.CONFIGS
    return copy.deepcopy(read(f'{root}/{path}'))


@EVERY_RECIPE
def test_is_the_stock_recipe_with_the_plugin_at_the_papers_place(path):
    base = eval(path.read_text().splitlines()[0].removeprefix('_base_ = '))
    assert f"_r{'101' if '_r101-' in path.stem else '50'}_" in base
    cfg, baseline = read(str(path)), baseline_of(path)
    assert recipes.difference(cfg, read(base)) == {
        'model.backbone.plugins', 'custom_imports.imports', 'custom_imports.allow_failed_imports'}
    assert cfg.model.backbone.plugins == [dict(cfg=dict(type=baseline.__name__), position=baseline.position)]


@EVERY_RECIPE
def test_one_switch_puts_it_where_scsa_stands(path):
    cfg = copy.deepcopy(read(str(path)))
    cfg.merge_from_dict(SWITCH)
    init_default_scope(cfg.default_scope)
    backbone = dict(cfg.model.backbone, depth=50, init_cfg=None)
    with torch.device('meta'):
        backbone = __import__(f'{cfg.default_scope}.registry', fromlist=['MODELS']).MODELS.build(backbone)
        backbone.eval()
        outs = backbone(torch.empty(1, 3, 64, 96))
    baseline = baseline_of(path)
    block = backbone.layer1[0]
    assert block.after_conv2_plugin_names == [baseline.__name__.lower()] and not block.after_conv3_plugin_names
    assert [x.shape[1] for x in outs] == [256, 512, 1024, 2048]


@pytest.mark.parametrize('row', ROWS)
def test_has_the_published_parameters(row):
    """UperNet's are those without the auxiliary head, on a ResNet whose stem is one 7x7 convolution."""
    cfg = load(row['config'])
    init_default_scope(cfg.default_scope)
    if cfg.default_scope == 'mmseg':
        cfg.model.backbone.type = 'ResNet'
        cfg.model.auxiliary_head = None
    with torch.device('meta'):
        model = __import__(f'{cfg.default_scope}.registry', fromlist=['MODELS']).MODELS.build(cfg.model)
    assert as_printed(recipes.count(model)) == row['params']


def test_every_recipe_is_a_row():
    listed = [row['config'] for entry in TABLES for row in entry['rows']]
    assert {f'scsa/baselines/{path.name}' for path in RECIPES} <= set(listed)
    assert len(listed) == len(set(listed))
