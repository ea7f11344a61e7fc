"""SCSA's recipes for other datasets (Table 4)."""
import functools

import pytest
import recipe_files
import yaml
from mmengine.registry import DATASETS, MODELS, init_default_scope

import recipes

FOLDER = recipes.CONFIGS / 'scsa' / 'datasets'
NUM_CLASSES = {'voc0712': 20, 'visdrone': 10, 'exdark': 12, 'flir-adas-v2': 15}
PLUGINS = ('SE', 'ECA', 'FCA', 'CA', 'SCSA')
TRAINING_KEYS = {'optim_wrapper.optimizer.lr', 'auto_scale_lr.base_batch_size'}
DATA_KEYS = ('custom_imports', 'data_root', 'dataset_type', 'model.roi_head.bbox_head.num_classes', 'train_pipeline',
             'test_pipeline', 'train_dataloader.dataset.', 'val_dataloader.dataset.', 'test_dataloader.dataset.',
             'val_evaluator.ann_file', 'test_evaluator.ann_file')
RECIPES = [(data, depth, plugin) for data in NUM_CLASSES for depth in ('r50', 'r101') for plugin in (None, *PLUGINS)]


def path_of(data, depth='r50', plugin=None):
    return FOLDER / f'faster-rcnn_{depth}{f"-{plugin.lower()}" if plugin else ""}_fpn_1xb2-1x_{data}.py'


@functools.cache
def stock(data, depth='r50'):
    return recipe_files.load(path_of(data, depth))


def test_recipes_match_the_rows_of_table_4():
    paths = {path_of(*recipe) for recipe in RECIPES}
    assert len(paths) == 48 and paths == set(FOLDER.glob('*.py'))
    tables = yaml.safe_load((recipes.CONFIGS.parent / 'docs' / 'paper_tables' / 'scsa_datasets.yml').read_text())
    rows = [recipes.CONFIGS / row['config'] for table in tables['tables'] for row in table['rows']]
    assert sorted(rows) == sorted(paths)


@pytest.mark.parametrize('data, depth, plugin', RECIPES)
def test_recipe_changes_one_aspect(data, depth, plugin):
    cfg = recipe_files.load(path_of(data, depth, plugin))
    assert cfg.model.roi_head.bbox_head.num_classes == NUM_CLASSES[data]
    if plugin:
        assert recipes.difference(cfg, stock(data, depth)) == {'model.backbone.plugins'}
        position = MODELS.get(f'mmxattn.{plugin}').position
        assert cfg.model.backbone.plugins == [dict(cfg=dict(type=plugin), position=position)]
    elif depth == 'r101':
        changed = recipes.difference(cfg, stock(data))
        assert changed == {'model.backbone.depth', 'model.backbone.init_cfg.checkpoint'}


@pytest.mark.parametrize('data', NUM_CLASSES)
def test_stock_recipe_changes_only_data_and_training_settings(data):
    cfg = stock(data)
    changed = recipes.difference(cfg, recipes.stock('mmdet', 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'))
    assert TRAINING_KEYS < changed and not [key for key in changed - TRAINING_KEYS if not key.startswith(DATA_KEYS)]
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.0025, momentum=0.9, weight_decay=1e-4)
    assert (cfg.train_dataloader.batch_size, cfg.train_cfg.max_epochs) == (2, 12)
    assert cfg.param_scheduler[1].milestones == [8, 11]
    sizes = [step.scale for step in cfg.train_pipeline + cfg.test_pipeline if step.type == 'Resize']
    assert sizes == [(1000, 600) if data == 'voc0712' else (1333, 800)] * 2
    for loader, pipeline in ((cfg.train_dataloader, cfg.train_pipeline), (cfg.val_dataloader, cfg.test_pipeline),
                             (cfg.test_dataloader, cfg.test_pipeline)):
        assert loader.dataset.pipeline == pipeline
        assert loader.dataset.type == cfg.dataset_type and loader.dataset.data_root == cfg.data_root
    init_default_scope('mmdet')
    assert len(DATASETS.get(cfg.dataset_type).METAINFO['classes']) == NUM_CLASSES[data]
    for split in ('val', 'test'):
        dataset, evaluator = cfg[f'{split}_dataloader'].dataset, cfg[f'{split}_evaluator']
        assert evaluator.type == 'CocoMetric' and evaluator.ann_file == cfg.data_root + dataset.ann_file
