"""SCSA's baselines in detectors and segmentors (Tables 3, 5 and 6)."""
import re
from decimal import ROUND_HALF_UP, Decimal

import pytest
import recipe_files
import torch
import yaml
from mmengine.registry import init_default_scope

import recipes
from mmxattn import models

RECIPES = sorted((recipes.CONFIGS / 'scsa' / 'baselines').glob('*.py'))
TABLES = yaml.safe_load((recipes.CONFIGS.parent / 'docs' / 'paper_tables' / 'scsa_dense.yml').read_text())['tables']
ROWS = [pytest.param(row, id=f"{table['table']}, {row['row']}")
        for table in TABLES for row in table['rows'] if row['params'] is not None]
EVERY_RECIPE = pytest.mark.parametrize('path', [pytest.param(path, id=path.stem) for path in RECIPES])


def baseline_of(path):
    name = re.search(r'_r\d+-([a-z]+)_', path.stem).group(1)
    return getattr(models, name.upper())


def build_on_meta(cfg, model):
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        return __import__(f'{cfg.default_scope}.registry', fromlist=['MODELS']).MODELS.build(model)


@EVERY_RECIPE
def test_recipe_adds_the_plugin_at_the_published_position(path):
    stock = recipe_files.stock_of(path)
    assert f"_r{'101' if '_r101-' in path.stem else '50'}_" in stock.name
    cfg, baseline = recipe_files.load(path), baseline_of(path)
    assert recipes.difference(cfg, recipe_files.load(stock)) == {
        'model.backbone.plugins', 'custom_imports.imports', 'custom_imports.allow_failed_imports'}
    assert cfg.model.backbone.plugins == [dict(cfg=dict(type=baseline.__name__), position=baseline.position)]


@pytest.mark.parametrize('path', [pytest.param(path, id=path.stem) for path in RECIPES
                                  if path.stem.startswith(('mask-rcnn', 'upernet_r50'))])
def test_option_in_readme_moves_the_plugin(path):
    cfg = recipe_files.load(path)
    cfg.merge_from_dict({'model.backbone.plugins.0.position': 'after_conv2'})
    backbone = build_on_meta(cfg, dict(cfg.model.backbone, init_cfg=None))
    backbone.eval()
    outputs = backbone(torch.empty(1, 3, 64, 96, device='meta'))
    block = backbone.layer1[0]
    assert block.after_conv2_plugin_names == [baseline_of(path).__name__.lower()]
    assert not block.after_conv3_plugin_names
    assert [x.shape[1] for x in outputs] == [256, 512, 1024, 2048]


@pytest.mark.parametrize('row', ROWS)
def test_parameters_match_the_paper(row):
    """UperNet is counted without the auxiliary head, with a ResNet whose stem is one 7x7 convolution."""
    if row['config'].partition('upernet_')[1]:
        package, _, name = row['config'].rpartition('::')
        cfg = recipes.stock(package, name) if package else recipe_files.load(recipes.CONFIGS / name)
        cfg.model.backbone.type = 'ResNet'
        cfg.model.auxiliary_head = None
        count = recipes.count(build_on_meta(cfg, cfg.model))
    else:
        count = recipe_files.COUNTS[row['config']]['parameters']
    millions = Decimal(count) / 10**6
    for places in ('0.001', '0.01'):  # mmengine's tool prints three decimal places, which the paper rounds to two
        millions = millions.quantize(Decimal(places), ROUND_HALF_UP)
    assert float(millions) == row['params']


def test_every_recipe_is_a_row():
    configs = [row['config'] for table in TABLES for row in table['rows']]
    assert {f'scsa/baselines/{path.name}' for path in RECIPES} <= set(configs)
    assert len(configs) == len(set(configs))
