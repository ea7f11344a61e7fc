"""CFSAM's baselines and ablations: published counts and schedules."""
import pytest
import recipe_files
import torch
from mmengine.registry import init_default_scope

import recipes
from mmxattn.profiling.complexity import count_macs

FOLDER = recipes.CONFIGS / 'cfsam'
SCHEDULE = '1xb48-260e'
TABLE_4 = [  # recipe, published parameters in M and operations in G, difference of our operations
    pytest.param('baselines/ssd300_1xb48-260e_voc0712.py', 26.29, 31.37, 0, id='stock'),
    pytest.param('baselines/ssd300_se_voc0712.py', 26.51, 31.38, -0.01, id='SE'),  # also counts averages and gates
    pytest.param('baselines/ssd300_cfam_voc0712.py', 25.69, 30.93, 0, id='CFAM'),
    # One block of width 184 is the closest.
    pytest.param('baselines/ssd300_mobilevit_voc0712.py', 76.75, 53.74, 0.02, id='MobileViT', marks=pytest.mark.slow),
]


@pytest.mark.parametrize('name, parameters, operations, difference', TABLE_4)
def test_counts_match_table_4(name, parameters, operations, difference):
    if '_se_' in name:
        pytest.importorskip('timm', exc_type=Exception)
    cfg = recipe_files.load(FOLDER / name)
    cfg.model.backbone.init_cfg = None
    init_default_scope('mmdet')
    with recipe_files.skip_init():
        model = __import__('mmdet.registry', fromlist=['MODELS']).MODELS.build(cfg.model).eval()
    assert round(recipes.count(model) / 1e6, 2) == parameters
    macs = count_macs(lambda: model(torch.zeros(1, 3, 300, 300), mode='tensor'))
    assert round(macs / 1e9, 2) == pytest.approx(operations + difference)


def test_stages_of_table_5_add_transformer_and_fusion():
    local, with_transformer, full = (recipe_files.parameters(FOLDER / name) for name in (
        'ablations/ssd300_cfsam-local_voc0712.py', 'ablations/ssd300_cfsam-local-global_voc0712.py',
        'ssd300_cfsam_voc0712.py'))
    block = 4 * 256 * 256 + 256 + 2 * 256 * 512 + 512 + 256 + 4 * 256
    assert with_transformer - local == 3 * block
    assert full - with_transformer == 512 * 256 + 256


@pytest.mark.parametrize('path', sorted(FOLDER.glob(f'*/ssd300_*_{SCHEDULE}_voc0712.py')), ids=lambda path: path.stem)
def test_schedule_of_the_paper_changes_no_model(path):
    cfg = recipe_files.load(path)
    stock_schedule = recipe_files.load(path.with_name(path.name.replace(f'_{SCHEDULE}', '')))
    cfsam = recipe_files.load(FOLDER / f'ssd300_cfsam_{SCHEDULE}_voc0712.py')
    assert cfg.model == stock_schedule.model
    assert not [key for key in recipes.difference(cfg, cfsam) if not key.startswith('model.')]


@pytest.mark.parametrize('name, cfsam', [(f'ssd300_{SCHEDULE}_voc0712.py', f'ssd300_cfsam_{SCHEDULE}_voc0712.py'),
                                         ('ssd300_1xb16-120e_coco.py', 'ssd300_cfsam_1xb16-120e_coco.py')])
def test_stock_detector_has_the_schedule_of_cfsam(name, cfsam):
    stock, ours = recipe_files.load(FOLDER / 'baselines' / name), recipe_files.load(FOLDER / cfsam)
    assert stock.model.neck == ours.model.neck[0]
    assert not [key for key in recipes.difference(stock, ours) if not key.startswith('model.neck')]
