"""The model of each recipe trains and predicts, and starts as the stock model if it is finetuned."""
import copy
import functools
import re

import pytest
import recipe_files
import torch

import recipes

TESTED_ELSEWHERE = {  # folder: test file
    ('scsa', 'imagenet'): 'test_imagenet_recipes.py',
    ('scsa', 'ablations'): 'test_imagenet_recipes.py',
    ('scsa', 'datasets'): 'test_scsa_datasets.py',
}
# Parameters whose gradient is zero in the first step, by recipe.
ZERO_GRADIENTS = [
    ('rtdetr', r'bbox_head\.reg_branches\.\d\.[02]\.'),  # before a layer that is initialized with zeros, as in DETR
    ('_fapn', r'neck\.aligners\.\d\.compare\.'),  # before offsets that are initialized with zeros
    ('-sa_', r'backbone\..*\.sa\.norm\.'),  # before scales that are initialized with zeros
    ('fcos', r'bbox_head\.scales\.[234]\.'),  # levels for objects larger than the image
    ('cascade', r'neck\.fpn_convs\.[23]\.'),  # levels whose anchors exceed the image
    ('ssd512', r'bbox_head\.(cls|reg)_convs\.0\.|neck\.(0\.)?l2_norm\.'),  # few of its anchors are sampled
]
NO_NEW_PARAMETERS = ('-w768', '_sni')
SLOW = re.compile('_r101|mit-b[12]|cityscapes-1024|panoptic|cascade|mask-rcnn|ssd|upernet|rtdetr_r50|rtdetr.*12e|'
                  '(faster-rcnn|retinanet)_r50_fpn-cfsam')


def folder_of(path):
    return path.parent.relative_to(recipes.CONFIGS).parts


def models_to_test():
    """One recipe per model. Schedules and datasets do not change models, and MiT-B3 to B5 are like B2.

    Ablations and baselines are tested in the first host of their paper.
    """
    seen = set()
    for name, path in sorted(recipes.published(), key=lambda recipe: ('_r101' in recipe[0], '_1xb' in recipe[0])):
        folder, changes = folder_of(path), recipe_files.model_changes(path)
        same_model = not changes and recipe_files.base_of(path) is not None
        repeated = folder[-1] in ('ablations', 'baselines') and (folder[0], changes) in seen
        if folder in TESTED_ELSEWHERE or same_model or repeated or re.search('mit-b[3-5]', name):
            continue
        seen.add((folder[0], changes))
        slow = len(folder) > 1 or SLOW.search(name)
        yield pytest.param(path, id=name, marks=[pytest.mark.slow] if slow else [])


def test_every_model_is_tested():
    tested = {param.values[0] for param in models_to_test()}
    changes = {(folder_of(path)[0], recipe_files.model_changes(path)) for path in tested}
    untested = [path for _, path in recipes.published()
                if path not in tested and folder_of(path) not in TESTED_ELSEWHERE]
    assert not [path.stem for path in untested if recipe_files.model_changes(path)
                and (folder_of(path)[0], recipe_files.model_changes(path)) not in changes]
    assert not [path.stem for path in untested if recipe_files.base_of(path) is None]


def image_sizes(cfg):
    """Odd sizes, except for SSD, which has a fixed size, and RTMDet's stock neck, which needs multiples of 32."""
    if "'type': 'CSPNeXtPAFPN'" in str(cfg.model.get('neck')):
        return [(96, 128), (64, 160)]
    if cfg.model.get('bbox_head', {}).get('type') == 'SSDHead':
        return [(cfg.model.bbox_head.anchor_generator.input_size, ) * 2]
    return [(97, 131)] * 2 if cfg.default_scope == 'mmseg' else [(97, 131), (75, 160)]


def train_and_predict(cfg):
    """Compute a loss, its gradients and predictions; return the trainable parameters by name."""
    if cfg.default_scope == 'mmseg':
        cfg.model.data_preprocessor.size = (97, 131)
    if 'drop_path_rate' in cfg.model.backbone:
        cfg.model.backbone.drop_path_rate = 0  # dropped blocks have no gradients
    model = recipes.build(cfg)
    model.train()
    batch = recipes.inputs(cfg, model, image_sizes(cfg))
    loss = recipes.loss(model, copy.deepcopy(batch))
    assert torch.isfinite(loss)
    loss.backward()
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert not [name for name, p in trainable.items() if p.grad is None or not torch.isfinite(p.grad).all()]
    model.eval()
    with torch.no_grad():
        predictions = model.test_step(copy.deepcopy(batch))
    assert len(predictions) == len(batch['inputs'])
    for prediction, image in zip(predictions, batch['inputs']):
        if cfg.default_scope == 'mmseg':
            assert prediction.pred_sem_seg.data.shape == (1, *image.shape[1:])
        elif 'pred_panoptic_seg' in prediction:
            assert prediction.pred_panoptic_seg.sem_seg.shape == (1, *image.shape[1:])
        else:
            assert torch.isfinite(prediction.pred_instances.scores).all()
    return trainable


def zero_gradients(trainable):
    return [name for name, p in trainable.items() if not p.grad.any()]


@functools.cache
def stock_parameters(path):
    """Names of the parameters of a stock model, also as the first of several necks."""
    with recipe_files.skip_init():
        names = [name for name, _ in recipes.build(recipe_files.load(path)).named_parameters()]
    return {*names, *(name.replace('neck.', 'neck.0.', 1) for name in names)}


@pytest.mark.parametrize('path', list(models_to_test()))
def test_trains_and_predicts(path):
    trainable = train_and_predict(recipe_files.load(path))
    zeros = [name for name in zero_gradients(trainable)
             if not any(part in path.stem and re.match(names, name) for part, names in ZERO_GRADIENTS)]
    added = trainable.keys() - stock_parameters(recipe_files.stock_of(path))
    if 'finetune' in path.stem:  # zero initialization blocks the gradients of the rest of the module
        assert set(zeros) < added
    else:
        assert not zeros
    expected = recipe_files.changes_model(path) and not re.search('|'.join(NO_NEW_PARAMETERS), path.stem)
    assert bool(added) == bool(expected)


@pytest.mark.parametrize('name', [
    pytest.param(path.stem, marks=[pytest.mark.slow] if path.stem == 'ssd300_bccd' else [])
    for path in sorted((recipes.CONFIGS / 'demo').glob('*.py')) if path.stem.endswith(('bccd', 'camvid'))])
def test_demo_recipes_for_real_images_train_and_predict(name):
    assert not zero_gradients(train_and_predict(recipe_files.load(recipes.CONFIGS / 'demo' / f'{name}.py')))


@pytest.mark.parametrize('path', [
    pytest.param(path, id=name, marks=[pytest.mark.slow] if re.search('ssd|mask-rcnn', name) else [])
    for name, path in recipes.published() if 'finetune' in path.stem])
def test_finetuned_model_starts_as_the_stock_model(path, tmp_path):
    from mmengine.runner import load_checkpoint
    cfg, stock_cfg = recipe_files.load(path), recipe_files.load(recipe_files.stock_of(path))
    assert cfg.load_from.startswith('https://download.openmmlab.com/')
    stock = recipes.build(stock_cfg, seed=1)
    torch.save(dict(state_dict=stock.state_dict()), tmp_path / 'stock.pth')
    model = recipes.build(cfg, seed=2)
    added = {name for name in model.state_dict() if name.replace('neck.0.', 'neck.') not in stock.state_dict()}
    assert added
    load_checkpoint(model, str(tmp_path / 'stock.pth'), map_location='cpu')
    for network in (model, stock):
        network.train(False)
    data = model.data_preprocessor(recipes.inputs(cfg, model, image_sizes(cfg)[:1]))
    with torch.no_grad():
        outputs, stock_outputs = (flatten(network(**copy.deepcopy(data), mode='tensor')) for network in (model, stock))
    assert len(outputs) == len(stock_outputs) > 0
    assert all(torch.equal(a, b) for a, b in zip(outputs, stock_outputs))


def flatten(outputs):
    """Flatten nested outputs to a list of tensors."""
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    if isinstance(outputs, dict):
        outputs = outputs.values()
    return [x for output in outputs for x in flatten(output)]
