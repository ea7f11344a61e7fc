"""Published parameter counts of stock models with the modules."""
import json

import pytest
import recipe_files
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope

import oracles
import recipes
from mmxattn import models  # noqa: F401  registers the modules
from mmxattn.profiling.complexity import count_macs

FIGURES = json.loads((oracles.DATA / 'paper_figures.json').read_text())['counts']
SCSA_PLUGIN = dict(cfg=dict(type='SCSA'), position='after_conv2')


def swap_in(cfg, paper):
    """Add the module of a paper to a stock config."""
    if paper == 'scsa':
        cfg.model.backbone.plugins = [SCSA_PLUGIN]
    elif paper == 'fine':
        cfg.model.neck.type = 'FINEFPN'
    elif paper == 'cla':
        cfg.model.decode_head.type = 'CLASegformerHead'
    elif paper == 'cfsam':
        cfg.model.neck = [cfg.model.neck, dict(type='CFSAMNeck', in_channels=[512, 1024, 512, 256, 256, 256])]


def full_size_count(cfg):
    """Count the parameters of the full-size model."""
    init_default_scope(cfg.default_scope)
    toolbox = __import__(f'{cfg.default_scope}.registry', fromlist=['MODELS'])
    with recipe_files.skip_init():
        return recipes.count(toolbox.MODELS.build(cfg.model))


def exact_rows():
    rows = [row for row in FIGURES if row['exact'] and '::' in row['stock_config']]
    return [pytest.param(row, id=f'{row["paper"]}-{row["host"].replace(" ", "-")}') for row in rows]


@pytest.mark.parametrize('row', exact_rows())
def test_added_parameters_match_the_paper(row):
    package, name = row['stock_config'].split('::')
    cfg = recipes.stock(package, name)
    cfg.model.pop('pretrained', None)
    assert full_size_count(cfg) == row['stock_params']
    swap_in(cfg, row['paper'])
    assert full_size_count(cfg) == row['stock_params'] + row['added_params']


@pytest.mark.parametrize('row', [row for row in FIGURES if row['exact'] and 'ResNet-' in row['stock_config']],
                         ids=lambda row: row['host'].replace(' ', '-'))
def test_added_parameters_of_scsa_classifiers_match_the_paper(row):
    """mmpretrain's ResNet does not accept plugins; mmdet's is the same without the fully connected layer."""
    depth = int(row['host'].split('-')[1].split()[0])
    classifier = 2048 * 1000 + 1000
    backbone = dict(type='mmdet.ResNet', depth=depth)
    build = __import__('mmdet.registry', fromlist=['MODELS']).MODELS.build
    assert recipes.count(build(ConfigDict(backbone))) + classifier == row['stock_params']
    backbone['plugins'] = [SCSA_PLUGIN]
    assert recipes.count(build(ConfigDict(backbone))) + classifier == row['stock_params'] + row['added_params']


def test_added_parameters_of_scsa_in_swin_match_the_paper():
    """16 parameters per channel in 2, 2, 6, 2 blocks with 96, 192, 384, 768 channels."""
    from mmxattn.layers import SCSA
    row = next(row for row in FIGURES if row['host'] == 'Swin-T classifier')
    blocks = zip((96, 192, 384, 768), (2, 2, 6, 2))
    assert sum(recipes.count(SCSA(c)) * n for c, n in blocks) == row['added_params']


def test_every_exact_row_is_tested():
    tested = [param.values[0] for param in exact_rows()]
    tested += [row for row in FIGURES if 'ResNet-' in row['stock_config'] or row['host'] == 'Swin-T classifier']
    assert [row for row in FIGURES if row['exact'] and row not in tested] == []


def test_counts_of_ssd300_cfsam_are_within_0_05_percent():
    row = next(row for row in FIGURES if row['paper'] == 'cfsam')
    cfg = recipes.stock('mmdet', 'pascal_voc/ssd300_voc0712.py')
    cfg.model.backbone.init_cfg = None
    swap_in(cfg, 'cfsam')
    init_default_scope('mmdet')
    model = __import__('mmdet.registry', fromlist=['MODELS']).MODELS.build(cfg.model)
    assert recipes.count(model) / 1e6 == pytest.approx(row['published_Mparams'], rel=5e-4)
    model.train(False)
    macs = count_macs(lambda: model(torch.zeros(1, 3, 300, 300), mode='tensor'))
    assert macs / 1e9 == pytest.approx(row['published_GMACs'], rel=5e-4)
