"""CLA's recipes: changes, schedule of the paper, and the mIoU@small metric."""
import re

import pytest
import recipe_files

import recipes
from mmxattn.evaluation import SmallIoUMetric
from mmxattn.registry import METRICS

STOCK = {'fpn_r50': 'sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py',
         'upernet_r50': 'upernet/upernet_r50_4xb4-80k_ade20k-512x512.py'}
RECIPES = [pytest.param(path, id=path.stem) for name, path in recipes.published() if name.startswith('cla/')]


def stock_of(path):
    """The stock recipe of a file according to its name."""
    host = path.stem.split('_cla')[0]
    name = re.sub('_(cla|afma)[^_]*|-w768', '', path.name)
    name = re.sub('_(finetune-160k|1xb8-320k)_', '_8xb2-160k_', name)
    return recipes.stock('mmseg', STOCK.get(host, f'segformer/{name}'))


@pytest.mark.parametrize('path', RECIPES)
def test_recipe_changes_only_the_head_of_the_stock_model(path):
    changed = {key for key in recipes.difference(recipe_files.load(path), stock_of(path)) if key.startswith('model.')}
    allowed = {'model.type', 'model.decode_head'} if 'afma' in path.stem else {'model.decode_head'}
    assert all('.'.join(key.split('.')[:2]) in allowed for key in changed)


@pytest.mark.parametrize('path', [param for param in RECIPES if '_1xb8' in param.id])
def test_schedule_matches_the_paper(path):
    cfg = recipe_files.load(path)
    changed = {key.split('.')[0] for key in recipes.difference(cfg, stock_of(path))}
    assert changed - {'model', 'custom_imports'} == {'train_dataloader', 'train_cfg', 'param_scheduler'}
    assert (cfg.train_dataloader.batch_size, cfg.train_cfg.max_iters) == (8, 320_000)
    assert cfg.param_scheduler[-1].end == 320_000


def test_option_in_readme_enables_small_iou_metric():
    cfg = recipe_files.load(recipes.CONFIGS / 'cla' / 'segformer_mit-b0_cla_8xb2-160k_ade20k-512x512.py')
    cfg.merge_from_dict({'val_evaluator.type': 'SmallIoUMetric', 'test_evaluator.type': 'SmallIoUMetric'})
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        metric = METRICS.build(evaluator)
        assert isinstance(metric, SmallIoUMetric) and metric.metrics == ['mIoU']
