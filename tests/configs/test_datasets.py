"""SCSA's recipes on other data sets (Table 4): what each changes."""
import copy
import functools

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope

import recipes

FOLDER = recipes.CONFIGS / 'scsa' / 'datasets'
SETS = {'voc0712': 20, 'visdrone': 10, 'exdark': 12, 'flir-adas-v2': 15}
PLUGINS = ('SE', 'ECA', 'FCA', 'CA', 'SCSA')
RUN = {'optim_wrapper.optimizer.lr', 'auto_scale_lr.base_batch_size'}
DATA = ('custom_imports', 'data_root', 'dataset_type', 'model.roi_head.bbox_head.num_classes', 'train_pipeline',
        'test_pipeline', 'train_dataloader.dataset.', 'val_dataloader.dataset.', 'test_dataloader.dataset.',
        'val_evaluator.ann_file', 'test_evaluator.ann_file')


def path(data, depth='r50', plugin=None):
    return FOLDER / f'faster-rcnn_{depth}{f"-{plugin.lower()}" if plugin else ""}_fpn_1xb2-1x_{data}.py'


@functools.cache
def stock(data, depth='r50'):
    return Config.fromfile(path(data, depth))


def everything():
    return [(data, depth, plugin) for data in SETS for depth in ('r50', 'r101') for plugin in (None, *PLUGINS)]


def test_there_is_a_recipe_for_every_row_and_nothing_else():
    rows = {path(*row) for row in everything()}
    assert len(rows) == 48 and rows == set(FOLDER.glob('*.py'))
    tables = yaml.safe_load((recipes.CONFIGS.parent / 'docs' / 'paper_tables' / 'scsa_datasets.yml').read_text())
    listed = [recipes.CONFIGS / row['config'] for table in tables['tables'] for row in table['rows']]
    assert sorted(listed) == sorted(rows)
    readme = (FOLDER / 'README.md').read_text()
    assert not [file.name for file in rows if f'`{file.name}`' not in readme]
    models = yaml.safe_load((FOLDER / 'metafile.yml').read_text())['Models']
    assert sorted(recipes.CONFIGS.parent / model['Config'] for model in models) == sorted(rows)
    assert all(model['Config'].endswith(f'/{model["Name"]}.py') for model in models)


@pytest.mark.parametrize('data, depth, plugin', everything())
def test_changes_one_thing(data, depth, plugin):
    cfg = Config.fromfile(path(data, depth, plugin))
    assert len(path(data, depth, plugin).read_text().splitlines()) <= 3
    assert cfg.model.roi_head.bbox_head.num_classes == SETS[data]
    if plugin:
        assert recipes.difference(cfg, stock(data, depth)) == {'model.backbone.plugins'}
        [part] = cfg.model.backbone.plugins
        assert part.cfg == dict(type=plugin)
        assert part.position == MODELS.get(f'mmxattn.{plugin}').position
        cfg.merge_from_dict({'model.backbone.plugins.0.position': 'after_conv2'})
        assert cfg.model.backbone.plugins[0].position == 'after_conv2'
    elif depth == 'r101':
        changed = recipes.difference(cfg, stock(data))
        assert changed == {'model.backbone.depth', 'model.backbone.init_cfg.checkpoint'}


@pytest.mark.parametrize('data', SETS)
def test_a_stock_recipe_is_mmdets_with_other_data_and_the_papers_run(data):
    cfg = stock(data)
    changed = recipes.difference(cfg, recipes.stock('mmdet', 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'))
    assert RUN < changed and not [key for key in changed - RUN if not key.startswith(DATA)]
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
    assert len(DATASETS.get(cfg.dataset_type).METAINFO['classes']) == SETS[data]
    for split in ('val', 'test'):
        dataset, evaluator = cfg[f'{split}_dataloader'].dataset, cfg[f'{split}_evaluator']
        assert evaluator.type == 'CocoMetric' and evaluator.ann_file == cfg.data_root + dataset.ann_file


@pytest.mark.parametrize('data, plugin', [('voc0712', None), ('visdrone', 'SCSA'), ('exdark', 'CA'),
                                          ('flir-adas-v2', 'FCA')])
def test_builds_learns_and_predicts(data, plugin):
    cfg = Config.fromfile(path(data, plugin=plugin))
    model = recipes.build(cfg)
    batch = recipes.inputs(cfg, model, [(75, 131)])
    model.train()
    loss = recipes.loss(model, copy.deepcopy(batch))
    assert torch.isfinite(loss)
    loss.backward()
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert not [name for name, p in trainable.items()
                if p.grad is None or not torch.isfinite(p.grad).all() or not p.grad.any()]
    assert not plugin or [name for name in trainable if f'.{plugin.lower()}.' in name]
    model.eval()
    with torch.no_grad():
        [prediction] = model.test_step(copy.deepcopy(batch))
    assert prediction.pred_instances.labels.max() < SETS[data]
