"""CLA's recipes: the counts that their READMEs print, and what the READMEs say one can do with them."""
import re

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

import recipes
from mmxattn.evaluation import SmallIoUMetric
from mmxattn.registry import METRICS

STOCK = {'fpn_r50': 'sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py',
         'upernet_r50': 'upernet/upernet_r50_4xb4-80k_ade20k-512x512.py'}
ROW = re.compile(r'^\| `(?P<name>[\w{},-]+\.py)` \|.*?\| (?P<added>-?\d[\d,]*)(?: \(.*?\))? \|', re.MULTILINE)


def rows():
    """The rows of the READMEs' tables that print a count: (recipe, parameters added)."""
    found = []
    for folder in ('cla', 'cla/ablations', 'cla/baselines'):
        for match in ROW.finditer((recipes.CONFIGS / folder / 'README.md').read_text()):
            found.append((recipes.CONFIGS / folder / match['name'], int(match['added'].replace(',', ''))))
    return found


def stock_of(path):
    host = path.stem.split('_cla')[0]
    name = re.sub('_(cla|afma)[^_]*|-w768', '', path.name)
    name = re.sub('_(finetune-160k|1xb8-320k)_', '_8xb2-160k_', name)
    return recipes.stock('mmseg', STOCK.get(host, f'segformer/{name}'))


def head_count(cfg):
    init_default_scope('mmseg')
    return recipes.count(__import__('mmseg.registry').registry.MODELS.build(cfg.model.decode_head))


def test_the_readmes_print_a_count_for_every_model():
    published = {path for _, path in recipes.published() if path.relative_to(recipes.CONFIGS).parts[0] == 'cla'}
    assert {path for path, _ in rows()} == {path for path in published if '_cla_1xb8' not in path.stem}


@pytest.mark.parametrize('path, added', [pytest.param(*row, id=row[0].stem) for row in rows()])
def test_adds_what_its_readme_says(path, added):
    stock = stock_of(path)
    ours = Config.fromfile(path)
    assert head_count(ours) - head_count(stock) == added
    changed = {key for key in recipes.difference(ours, stock) if key.startswith('model.')}
    allowed = {'model.type', 'model.decode_head'} if 'afma' in path.stem else {'model.decode_head'}
    assert all('.'.join(key.split('.')[:2]) in allowed for key in changed)


@pytest.mark.parametrize('path', [pytest.param(path, id=path.stem) for _, path in recipes.published()
                                  if path.relative_to(recipes.CONFIGS).parts[0] == 'cla' and '_1xb8' in path.stem])
def test_the_papers_run_changes_the_run_alone(path):
    cfg, stock = Config.fromfile(path), stock_of(path)
    changed = {key.split('.')[0] for key in recipes.difference(cfg, stock)}
    assert changed - {'model', 'custom_imports'} == {'train_dataloader', 'train_cfg', 'param_scheduler'}
    assert (cfg.train_dataloader.batch_size, cfg.train_cfg.max_iters) == (8, 320_000)
    assert cfg.param_scheduler[-1].end == 320_000


@pytest.mark.parametrize('path', [row[0] for row in rows()], ids=lambda path: path.stem)
def test_miou_at_small_is_one_option_away(path):
    cfg = Config.fromfile(path)
    cfg.merge_from_dict({'val_evaluator.type': 'SmallIoUMetric', 'test_evaluator.type': 'SmallIoUMetric'})
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        metric = METRICS.build(evaluator)
        assert isinstance(metric, SmallIoUMetric) and metric.metrics == ['mIoU']
