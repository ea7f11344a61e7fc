"""Every recipe over a stock one: what it changes, and that it trains and predicts."""
import ast
import copy
import functools
import re

import pytest
import torch
from mmengine.config import Config

import recipes

PART_KEYS = {  # what a part may touch, by the folder of its paper
    'fine': ('model.neck', ),
    'rtdetr': ('model.neck', ),
    'scsa': ('model.backbone', ),
    'cfsam': ('model.neck', 'model.bbox_head.in_channels'),
    'cla': ('model.decode_head', 'model.type'),
}
SCHEDULE_KEYS = ('train_dataloader.batch_size', 'train_dataloader.dataset.times', 'train_cfg.', 'param_scheduler',
                 'optim_wrapper.', 'auto_scale_lr.base_batch_size', 'randomness.', 'default_hooks.', 'custom_hooks')


def all_recipes():
    return [pytest.param(path, id=name) for name, path in recipes.published()]


def folder_of(path):
    return path.parent.relative_to(recipes.CONFIGS).parts


def base_of(path):
    """The recipe that a file inherits from; None where it is put together from parts in _base_ folders."""
    [base] = [eval(line.removeprefix('_base_ = ')) for line in path.read_text().splitlines()
              if line.startswith('_base_ = ')]
    path = (path.parent / base).resolve() if isinstance(base, str) else None
    return None if path is None or path.parent.name == '_base_' else path


def stock_of(path):
    """The stock recipe under a file: the end of its chain of single bases, a toolbox's or one of ours."""
    base = base_of(path)
    if base is None:
        return path
    return stock_of(base) if base.is_relative_to(recipes.CONFIGS) else base


def swaps_a_part(path):
    """Whether a file, or one under it, changes the model; the others hold a schedule or a data set."""
    if not path.is_relative_to(recipes.CONFIGS) or base_of(path) is None:
        return False
    return any(line.startswith('model = ') for line in path.read_text().splitlines()) or swaps_a_part(base_of(path))


@pytest.mark.parametrize('path', all_recipes())
def test_changes_the_part_and_nothing_else(path):
    stock = stock_of(path)
    if stock == path:
        return  # it is one
    changed = recipes.difference(Config.fromfile(path), Config.fromfile(stock))
    part = PART_KEYS[folder_of(path)[0]]
    allowed = (*part, 'custom_imports')
    if '_1xb' in path.stem or 'finetune' in path.stem:
        allowed += SCHEDULE_KEYS
    if 'finetune' in path.stem:
        allowed += ('load_from', )
    assert not [key for key in changed if not key.startswith(allowed)]
    assert any(key.startswith(part[0]) for key in changed) == swaps_a_part(path)


@pytest.mark.parametrize('path', all_recipes())
def test_is_ten_lines_or_fewer(path):
    assert len(path.read_text().splitlines()) <= 10


def test_no_base_name_occurs_twice():
    names = [path.name for path in recipes.CONFIGS.rglob('*.py')]
    assert len(names) == len(set(names))


ELSEWHERE = {  # folders whose models another file tests
    ('scsa', 'imagenet'): 'test_imagenet_recipes.py',
    ('scsa', 'ablations'): 'test_imagenet_recipes.py',
    ('scsa', 'datasets'): 'test_datasets.py',
}


def swap_of(path):
    """What a file does to its base's model, in one spelling; nothing where it holds a schedule or data alone."""
    values = [ast.unparse(line.value) for line in ast.parse(path.read_text()).body
              if isinstance(line, ast.Assign) and line.targets[0].id == 'model']
    return ''.join(values)


def models_under_test():
    """One recipe of each model: schedules and data do not change it. MiT-B3 to B5 are B2, slower.

    A variant or a baseline is tested in the first of its paper's hosts that has it, the quick ones first.
    """
    swaps = set()
    for name, path in sorted(recipes.published(), key=lambda recipe: ('_r101' in recipe[0], '_1xb' in recipe[0])):
        folder, swap = folder_of(path), swap_of(path)
        same = not swap and base_of(path) is not None
        again = folder[-1] in ('ablations', 'baselines') and (folder[0], swap) in swaps
        if folder in ELSEWHERE or same or again or re.search('mit-b[3-5]', name):
            continue
        swaps.add((folder[0], swap))
        slow = len(folder) > 1 or re.search('_r101|mit-b2', name)
        yield pytest.param(path, id=name, marks=[pytest.mark.slow] if slow else [])


def test_every_model_is_under_test():
    tested = {param.values[0] for param in models_under_test()}
    changes = {(folder_of(path)[0], swap_of(path)) for path in tested}
    left = [path for _, path in recipes.published() if path not in tested and folder_of(path) not in ELSEWHERE]
    assert not [path.stem for path in left if swap_of(path) and (folder_of(path)[0], swap_of(path)) not in changes]
    assert not [path.stem for path in left if base_of(path) is None]  # a host of our own
    assert all((recipes.CONFIGS.parent / 'tests' / 'configs' / file).is_file() for file in ELSEWHERE.values())


def sizes_of(cfg):
    """Odd sizes; SSD has its own, and one image; RTMDet's stock neck takes multiples of 32."""
    if "'type': 'CSPNeXtPAFPN'" in str(cfg.model.get('neck')):
        return [(96, 128), (64, 160)]
    if cfg.model.get('bbox_head', {}).get('type') == 'SSDHead':
        return [(cfg.model.bbox_head.anchor_generator.input_size, ) * 2]
    return [(97, 131)] * 2 if cfg.default_scope == 'mmseg' else [(97, 131), (75, 160)]


# What takes a gradient of zero in the first step: in these recipes, these parameters.
STILL = [
    ('rtdetr', r'bbox_head\.reg_branches\.\d\.[02]\.'),  # before a last layer that starts at zero, as in DETR
    ('_fapn', r'neck\.aligners\.\d\.compare\.'),  # before FaPN's offsets, which start at zero
    ('-sa_', r'backbone\..*\.sa\.norm\.'),  # before SA's scales, which its authors start at zero
    ('fcos', r'bbox_head\.scales\.[234]\.'),  # the levels of objects larger than the image here
    ('cascade', r'neck\.fpn_convs\.[23]\.'),  # the levels of anchors that stick out of the image here
    ('ssd512', r'bbox_head\.(cls|reg)_convs\.0\.|neck\.(0\.)?l2_norm\.'),  # of so many anchors a few count
]
NOTHING_NEW = ('-w768', '_sni')  # a head that is wider and no other; SNI has no parameters


def still(trainable):
    """The parameters that got a gradient of zero."""
    return [name for name, p in trainable.items() if not p.grad.any()]


def learns_and_predicts(cfg):
    """Build the model, take a loss and its gradients, predict; returns what is trainable, by name."""
    if cfg.default_scope == 'mmseg':
        cfg.model.data_preprocessor.size = (97, 131)
    if 'drop_path_rate' in cfg.model.backbone:
        cfg.model.backbone.drop_path_rate = 0  # a block that is left out gets no gradient
    model = recipes.build(cfg)
    model.train()
    batch = recipes.inputs(cfg, model, sizes_of(cfg))
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


@pytest.mark.parametrize('path', list(models_under_test()))
def test_builds_learns_and_predicts(path):
    """Every parameter gets a gradient that is finite and not zero, but for those in ``STILL``."""
    trainable = learns_and_predicts(Config.fromfile(path))
    without = [name for name in still(trainable)
               if not any(part in path.stem and re.match(names, name) for part, names in STILL)]
    added = trainable.keys() - parameters_of(stock_of(path))
    if 'finetune' in path.stem:  # an identity start: its zeros cut the rest of the part off, and learn themselves
        assert set(without) < added
    else:
        assert not without
    assert bool(added) == (swaps_a_part(path) and not re.search('|'.join(NOTHING_NEW), path.stem))


@functools.cache
def parameters_of(path):
    """The names of a stock model's parameters, as they are too where a part stands after its neck."""
    names = [name for name, _ in recipes.build(Config.fromfile(path)).named_parameters()]
    return {*names, *(name.replace('neck.', 'neck.0.', 1) for name in names)}


@pytest.mark.parametrize('name', [path.stem for path in sorted((recipes.CONFIGS / 'demo').glob('*.py'))
                                  if path.stem.endswith(('bccd', 'camvid'))])
def test_recipes_for_real_images_build_learn_and_predict(name):
    assert not still(learns_and_predicts(Config.fromfile(recipes.CONFIGS / 'demo' / f'{name}.py')))


def finetune_recipes():
    return [param for param in all_recipes() if 'finetune' in param.values[0].stem]


@pytest.mark.parametrize('path', finetune_recipes())
def test_starts_from_the_stock_checkpoint_as_the_stock_model(path, tmp_path):
    from mmengine.runner import load_checkpoint
    cfg, stock_cfg = Config.fromfile(path), Config.fromfile(stock_of(path))
    assert cfg.load_from.startswith('https://download.openmmlab.com/')
    stock = recipes.build(stock_cfg, seed=1)
    torch.save(dict(state_dict=stock.state_dict()), tmp_path / 'stock.pth')
    model = recipes.build(cfg, seed=2)
    ours, theirs = set(model.state_dict()), set(stock.state_dict())
    load_checkpoint(model, str(tmp_path / 'stock.pth'), map_location='cpu')
    for network in (model, stock):
        network.train(False)
    data = model.data_preprocessor(recipes.inputs(cfg, model, sizes_of(cfg)[:1]))
    with torch.no_grad():
        ours_out, stock_out = (flat(network(**copy.deepcopy(data), mode='tensor')) for network in (model, stock))
    assert len(ours_out) == len(stock_out) > 0
    assert all(torch.equal(a, b) for a, b in zip(ours_out, stock_out))
    added = {name for name in ours if name.replace('neck.0.', 'neck.') not in theirs}
    assert added and all(f'model.{name}'.startswith(PART_KEYS[folder_of(path)[0]]) for name in added)


def flat(outputs):
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    if isinstance(outputs, dict):
        outputs = outputs.values()
    return [x for output in outputs for x in flat(output)]
