"""Recipes change only their module and schedule, and have consistent names and learning rates."""
import re
from fnmatch import fnmatch

import pytest
import recipe_files

import recipes

MODULE_KEYS = {  # config keys that a recipe may change, by folder
    'fine': ('model.neck', ),
    'rtdetr': ('model.neck', ),
    'scsa': ('model.backbone', ),
    'cfsam': ('model.neck', 'model.bbox_head.in_channels'),
    'cla': ('model.decode_head', 'model.type'),
}
SCHEDULE_KEYS = ('train_dataloader.batch_size', 'train_dataloader.dataset.times', 'train_cfg.', 'param_scheduler',
                 'optim_wrapper.', 'auto_scale_lr.base_batch_size', 'randomness.', 'default_hooks.', 'custom_hooks')
BASE_BATCH_SIZES = {  # the table in docs/clusters.md
    '*-rcnn*': 16, 'retinanet*': 16, 'fcos*': 16, 'panoptic-fpn*': 16, 'rtdetr*': 16, 'ssd*': 64, 'yolox*': 64,
    'rtmdet*': 16}
RECIPES = [pytest.param(path, id=name) for name, path in recipes.published()]
DEMO_RECIPES = [pytest.param(path, id=path.stem) for path in sorted((recipes.CONFIGS / 'demo').glob('*.py'))]


@pytest.mark.parametrize('path', [param for param in RECIPES
                                  if recipe_files.stock_of(param.values[0]) != param.values[0]])
def test_changes_only_the_module(path):
    changed = recipes.difference(recipe_files.load(path), recipe_files.load(recipe_files.stock_of(path)))
    keys = MODULE_KEYS[path.relative_to(recipes.CONFIGS).parts[0]]
    allowed = (*keys, 'custom_imports')
    if '_1xb' in path.stem or 'finetune' in path.stem:
        allowed += SCHEDULE_KEYS
    if 'finetune' in path.stem:
        allowed += ('load_from', )
    assert not [key for key in changed if not key.startswith(allowed)]
    assert any(key.startswith(keys[0]) for key in changed) == recipe_files.changes_model(path)


def test_recipes_have_at_most_ten_lines():
    assert not [name for name, path in recipes.published() if len(path.read_text().splitlines()) > 10]


def test_file_names_are_unique():
    names = [path.name for path in recipes.CONFIGS.rglob('*.py')]
    assert len(names) == len(set(names))


@pytest.mark.parametrize('path', RECIPES + DEMO_RECIPES)
def test_learning_rate_is_scaled_from_the_batch_size_of_the_recipe(path):
    cfg = recipe_files.load(path)
    base = cfg.get('auto_scale_lr', {}).get('base_batch_size')
    named = re.search(r'_(\d+)xb(\d+)', path.stem)
    default_gpus = 1 if path.parent.name == 'demo' else 8
    gpus, images = map(int, named.groups()) if named else (default_gpus, cfg.train_dataloader.batch_size)
    assert images == cfg.train_dataloader.batch_size
    if cfg.default_scope == 'mmseg':
        assert base is None  # as in mmseg, whose tools then require it
    elif path.stem.startswith('rtmdet'):
        assert base == 16 != gpus * images  # wrong in mmdet, see docs/clusters.md
    else:
        assert base == gpus * images
        if gpus > 1:
            assert [value for pattern, value in BASE_BATCH_SIZES.items() if fnmatch(path.stem, pattern)] == [base]


@pytest.mark.parametrize('path', [param for param in RECIPES if '_1xb2-1x_coco' in param.id])
def test_learning_rate_of_two_images_is_proportional(path):
    ours = recipe_files.load(path)
    stock = recipe_files.load(path.with_name(path.name.replace('_1xb2-1x_', '_1x_')))
    scale = ours.auto_scale_lr.base_batch_size / stock.auto_scale_lr.base_batch_size
    assert ours.optim_wrapper.optimizer.lr == pytest.approx(stock.optim_wrapper.optimizer.lr * scale)
