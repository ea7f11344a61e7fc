"""The recipes of configs/demo: pairs differ only in the module, and each recipe trains on its data."""
import copy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

import recipes

DEMO = recipes.CONFIGS / 'demo'
PAIRS = {  # recipe: (stock recipe, config key that differs)
    'faster-rcnn_r18-w32_fine-fpn64_digits': ('faster-rcnn_r18-w32_fpn64_digits', 'model.neck'),
    'faster-rcnn_r18-w32_fpn64-cfsam_digits': ('faster-rcnn_r18-w32_fpn64_digits', 'model.neck'),
    'faster-rcnn_r50-w16-scsa_fpn64_digits': ('faster-rcnn_r50-w16_fpn64_digits', 'model.backbone.plugins'),
    'segformer_mit-b0_cla_digits-160x160': ('segformer_mit-b0_digits-160x160', 'model.decode_head.type'),
    'faster-rcnn_r18-w32_fine-fpn64_bccd': ('faster-rcnn_r18-w32_fpn64_bccd', 'model.neck'),
    'faster-rcnn_r50-w16-scsa_fpn64_bccd': ('faster-rcnn_r50-w16_fpn64_bccd', 'model.backbone.plugins'),
    'ssd300_cfsam_bccd': ('ssd300_bccd', 'model.neck'),
    'segformer_mit-b0_cla_camvid': ('segformer_mit-b0_camvid', 'model.decode_head.type'),
}
DIGITS = sorted({name for name in PAIRS if 'digits' in name} | {s for s, _ in PAIRS.values() if 'digits' in s})


def load(name):
    return Config.fromfile(DEMO / f'{name}.py')


def test_recipes_are_paired_and_short():
    names = {path.stem for path in DEMO.glob('*.py')}
    assert names == set(PAIRS) | {stock for stock, _ in PAIRS.values()}
    assert all(len(path.read_text().splitlines()) <= 10 for path in DEMO.glob('*.py'))


@pytest.mark.parametrize('name', PAIRS)
def test_pair_differs_only_in_the_module(name):
    stock, allowed = PAIRS[name]
    ours = load(name)
    changed = recipes.difference(ours, load(stock))
    assert changed and all(key.startswith(allowed) for key in changed)
    assert ours.custom_imports.imports == ['mmxattn']


@pytest.mark.parametrize('name', [*PAIRS, *sorted({stock for stock, _ in PAIRS.values()})])
def test_dumped_config_is_equal(name):
    cfg = load(name)
    assert Config.fromstring(cfg.pretty_text, '.py').to_dict() == cfg.to_dict()


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return dict(num_train=4, num_test=2, cache=str(tmp_path_factory.mktemp('cache')))


@pytest.mark.parametrize('name', DIGITS)
def test_trains_and_evaluates_on_digit_scenes(name, scenes):
    """Every parameter gets a nonzero gradient, except those blocked by the zero initialization of a module."""
    cfg = load(name)
    model = recipes.build(cfg)
    init_default_scope(cfg.default_scope)
    datasets, metrics, collate = toolbox(cfg.default_scope)
    train, test = (datasets.build(dict(loader.dataset, scenes=scenes)) for loader in (cfg.train_dataloader,
                                                                                    cfg.val_dataloader))
    assert len(train) == 4 and len(test) == 2
    model.train()
    recipes.loss(model, collate([train[k] for k in range(4)])).backward()
    gradients = {key: p.grad for key, p in model.named_parameters()}
    assert not [key for key, gradient in gradients.items() if gradient is None or not torch.isfinite(gradient).all()]
    zeros = {key for key, gradient in gradients.items() if not gradient.any()}
    blocked = {key for key in gradients if '.scsa.' in key} if 'zero_init' in str(cfg.model) else set()
    assert zeros < blocked or not zeros and not blocked
    model.eval()
    evaluator = cfg.val_evaluator.copy()
    if 'ann_file' in evaluator:
        from mmxattn.datasets.digit_scenes import data_root
        assert evaluator.ann_file == data_root() + '/test.json'
        evaluator.ann_file = data_root(**scenes) + '/test.json'
    metric = metrics.build(evaluator)
    metric.dataset_meta = test.metainfo
    batch = collate([test[k] for k in range(2)])
    with torch.no_grad():
        outputs = model.test_step(copy.deepcopy(batch))
    metric.process(batch, [output.to_dict() for output in outputs])
    scores = metric.evaluate(2)
    assert any(key.endswith(('bbox_mAP_50', 'mIoU')) and np.isfinite(value) for key, value in scores.items())


def toolbox(scope):
    registry = __import__(f'{scope}.registry', fromlist=['DATASETS'])
    from mmengine.dataset import pseudo_collate
    return registry.DATASETS, registry.METRICS, pseudo_collate
