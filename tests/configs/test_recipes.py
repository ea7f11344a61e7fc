"""Every recipe over a stock one: what it changes, and that it trains and predicts."""
import copy

import pytest
import torch
from mmengine.config import Config

import recipes

PART_KEYS = {  # what a part may touch, and where its parameters are
    'fine': ('model.neck', 'neck.fine.'),
    'scsa': ('model.backbone.plugins', '.scsa.'),
    'cfsam': ('model.neck', 'neck.1.'),
    'cla': ('model.decode_head', 'decode_head.'),
}
SCHEDULE_KEYS = ('train_dataloader.batch_size', 'train_dataloader.dataset.times', 'train_cfg.', 'param_scheduler',
                 'optim_wrapper.optimizer.lr', 'auto_scale_lr.base_batch_size')


def part_of(path):
    """The keys and the parameters of the part that a recipe swaps in, by the folder of its paper."""
    return PART_KEYS[path.relative_to(recipes.CONFIGS).parts[0]]


def all_recipes():
    return [pytest.param(path, id=name) for name, path in recipes.published()]


def is_second_run(path):
    """Whether a file holds the paper's schedule or a fine-tuning over another of our recipes."""
    return '_1xb' in path.stem or 'finetune' in path.stem


def stock_of(path):
    """The stock recipe under a file: the last of its chain of single bases."""
    text = path.read_text().splitlines()[0]
    base = eval(text.removeprefix('_base_ = '))
    if base.startswith('./'):
        return stock_of(path.parent / base)
    return Config.fromfile(base)


@pytest.mark.parametrize('path', all_recipes())
def test_changes_the_part_and_nothing_else(path):
    allowed = [part_of(path)[0], 'custom_imports']
    if is_second_run(path):
        allowed += SCHEDULE_KEYS
    if 'finetune' in path.stem:
        allowed += ['load_from']
    changed = recipes.difference(Config.fromfile(path), stock_of(path))
    assert 'custom_imports.imports' in changed
    assert any(key.startswith(allowed[0]) for key in changed)
    assert not [key for key in changed if not key.startswith(tuple(allowed))]


@pytest.mark.parametrize('path', all_recipes())
def test_is_ten_lines_or_fewer(path):
    assert len(path.read_text().splitlines()) <= 10


def test_no_base_name_occurs_twice():
    names = [path.name for path in recipes.CONFIGS.rglob('*.py')]
    assert len(names) == len(set(names))


def models_under_test():
    """One recipe of each model: schedules do not change it. ResNet-101 is ResNet-50, slower."""
    return [pytest.param(path, id=name, marks=[pytest.mark.slow] if '_r101' in name else [])
            for name, path in recipes.published() if '_1xb' not in name]


def sizes_of(cfg):
    """Odd sizes; SSD300 has its own, and one image."""
    if cfg.model.type == 'SingleStageDetector':
        return [(300, 300)]
    return [(97, 131)] * 2 if cfg.default_scope == 'mmseg' else [(97, 131), (75, 160)]


def learns_and_predicts(cfg):
    """Build the model, take a loss and its gradients, predict; returns what is trainable, by name."""
    if cfg.default_scope == 'mmseg':
        cfg.model.data_preprocessor.size = (97, 131)
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
        else:
            assert torch.isfinite(prediction.pred_instances.scores).all()
    return trainable


@pytest.mark.parametrize('path', models_under_test())
def test_builds_learns_and_predicts(path):
    trainable = learns_and_predicts(Config.fromfile(path))
    part = {name: p for name, p in trainable.items() if part_of(path)[1] in name}
    assert part
    if 'finetune' not in path.stem:  # an identity start has gradients of zero behind the zeros
        assert not [name for name, p in part.items() if not p.grad.any()]


@pytest.mark.parametrize('name', [path.stem for path in sorted((recipes.CONFIGS / 'demo').glob('*.py'))
                                  if path.stem.endswith(('bccd', 'camvid'))])
def test_recipes_for_real_images_build_learn_and_predict(name):
    assert learns_and_predicts(Config.fromfile(recipes.CONFIGS / 'demo' / f'{name}.py'))


def finetune_recipes():
    return [param for param in all_recipes() if 'finetune' in param.values[0].stem]


@pytest.mark.parametrize('path', finetune_recipes())
def test_starts_from_the_stock_checkpoint_as_the_stock_model(path, tmp_path):
    from mmengine.runner import load_checkpoint
    cfg, stock_cfg = Config.fromfile(path), stock_of(path)
    assert cfg.load_from.startswith('https://download.openmmlab.com/')
    stock = recipes.build(stock_cfg, seed=1)
    torch.save(dict(state_dict=stock.state_dict()), tmp_path / 'stock.pth')
    model = recipes.build(cfg, seed=2)
    ours, theirs = set(model.state_dict()), set(stock.state_dict())
    load_checkpoint(model, str(tmp_path / 'stock.pth'), map_location='cpu')
    for network in (model, stock):
        network.train(False)
    size = (300, 300) if cfg.model.type == 'SingleStageDetector' else (97, 131)
    data = model.data_preprocessor(recipes.inputs(cfg, model, [size]))
    with torch.no_grad():
        ours_out, stock_out = (flat(network(**copy.deepcopy(data), mode='tensor')) for network in (model, stock))
    assert len(ours_out) == len(stock_out) > 0
    assert all(torch.equal(a, b) for a, b in zip(ours_out, stock_out))
    part = part_of(path)[1]
    added = {name for name in ours if name.replace('neck.0.', 'neck.') not in theirs}
    assert added and all(part in name for name in added)


def flat(outputs):
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    if isinstance(outputs, dict):
        outputs = outputs.values()
    return [x for output in outputs for x in flat(output)]
