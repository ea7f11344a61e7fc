"""The classifiers of SCSA's Table 1 and 2, over mmpretrain's recipes."""
import copy
import functools
import re

import pytest
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, MODELS
from mmpretrain.structures import DataSample

import recipes
from mmxattn.datasets.sources import IMAGENET, DatasetNotFoundError
from mmxattn.models.plugins.plugin import Plugin
from mmxattn.registry import MODELS as MMXATTN

SCSA = recipes.CONFIGS / 'scsa'
STOCK = {
    'resnet50': 'resnet/resnet50_8xb32_in1k.py',
    'resnet101': 'resnet/resnet101_8xb32_in1k.py',
    'mobilenet-v2': 'mobilenet_v2/mobilenet-v2_8xb32_in1k.py',
    'repvgg-A0': 'repvgg/repvgg-A0_8xb32_in1k.py',
    'swin-tiny': 'swin_transformer/swin-tiny_16xb64_in1k.py',
}
RATES = {'resnet50': .05, 'resnet101': .05, 'mobilenet-v2': .045, 'repvgg-A0': .05, 'swin-tiny': 1.25e-4}  # Sec. 4.1
PARAMETERS = {  # Table 2, in millions as printed
    'resnet50': dict(stock='25.56', eca='25.56', se='28.07', fca='28.07', cpca='27.40', cbam='28.07', sa='25.56',
                     ela='25.59', ca='25.69', ema='25.57', scsa='25.62'),
    'resnet101': dict(stock='44.55', eca='44.55', se='49.30', fca='49.29', cbam='49.30', ca='44.80', scsa='44.68'),
    # The paper has 3.51 for the first two and 3.63 for SCSA; 16 parameters a channel of each block are 0.11 M.
    'mobilenet-v2': dict(stock='3.50', eca='3.50', cbam='4.07', scsa='3.62'),
    'repvgg-A0': dict(stock='9.11', eca='9.11', ca='9.35', scsa='9.18'),
    'swin-tiny': dict(stock='28.29', scsa='28.36'),
}
SCSA_ADDS = {'resnet50': 60_416, 'resnet101': 130_048, 'mobilenet-v2': 114_176, 'repvgg-A0': 71_168,
             'swin-tiny': 70_656}
SLOW = pytest.mark.slow
ABLATIONS = ['bn', 'k3', 'k3-7', 'k7', 'ln', 'multi-head', 'no-norm', 'no-pc', 'no-pcsa', 'no-smsa', 'norm-first',
             'pcsa-first', 'scale-hw', 'unshared']


def path_of(host, part):
    batch = 96 if host == 'mobilenet-v2' else 128
    return SCSA / 'imagenet' / f'{host}{"" if part == "stock" else f"-{part}"}_1xb{batch}_in1k.py'


def rows(quick=None):
    """(host, part) of every row; where ``quick(host, part)`` does not hold it is a slow test."""
    return [pytest.param(host, part, id=f'{host}-{part}', marks=[] if quick is None or quick(host, part) else [SLOW])
            for host in PARAMETERS for part in PARAMETERS[host]]


def ablation(name):
    return SCSA / 'ablations' / f'resnet50-scsa-{name}_1xb128_in1k.py'


@pytest.fixture(autouse=True)
def scope():
    yield
    init_default_scope('mmdet')  # other tests expect nothing of mmpretrain's


@functools.cache
def read(path):
    return Config.fromfile(path)


def load(path):
    return copy.deepcopy(read(path))


@functools.cache
def parameters(path):
    init_default_scope('mmpretrain')
    return recipes.count(MODELS.build(load(path).model))


def test_every_row_has_its_recipe_and_no_recipe_is_without_a_row():
    assert sorted((SCSA / 'imagenet').glob('*.py')) == sorted(path_of(*row.values) for row in rows())
    assert sorted((SCSA / 'ablations').glob('*.py')) == sorted(map(ablation, ABLATIONS))


@pytest.mark.parametrize('host, part', rows(lambda host, part: host != 'resnet101' or part in ('stock', 'scsa')))
def test_counts_are_the_papers(host, part):
    count = parameters(path_of(host, part))
    assert f'{count / 1e6:.2f}' == PARAMETERS[host][part]
    if part == 'scsa':  # 16 a channel
        assert count - parameters(path_of(host, 'stock')) == SCSA_ADDS[host]


def readme_counts(folder):
    """{name of the recipe: the numbers of its row that are whole}."""
    table = re.findall(r'^\| `(\w[^`/]+)\.py` \|(.+)', (SCSA / folder / 'README.md').read_text(), re.MULTILINE)
    return {name: [int(cell.replace(',', '')) for cell in row.split('|') if re.fullmatch(r' \d[\d,]* ', cell)]
            for name, row in table}


@pytest.mark.parametrize('host, part', rows(lambda host, part: host != 'resnet101' or part in ('stock', 'scsa')))
def test_the_readme_has_the_counts(host, part):
    ours, stock = parameters(path_of(host, part)), parameters(path_of(host, 'stock'))
    assert readme_counts('imagenet')[path_of(host, part).stem] == ([ours, ours - stock] if ours > stock else [ours])


@pytest.mark.parametrize('name', ABLATIONS)
def test_the_readme_has_the_counts_of_ablations(name):
    cfg = load(ablation(name)).model.backbone.plugins[0].cfg
    added = sum(n * recipes.count(MMXATTN.build(dict(cfg, in_channels=width)))
                for width, n in zip((64, 128, 256, 512), (3, 4, 6, 3)))
    assert readme_counts('ablations')[ablation(name).stem][0] == added


@pytest.mark.parametrize('host', STOCK)
def test_the_run_is_the_papers_and_the_rest_is_mmpretrains(host):
    cfg, stock = load(path_of(host, 'stock')), recipes.stock('mmpretrain', STOCK[host])
    assert recipes.difference(cfg, stock) <= {
        'train_dataloader.batch_size', 'optim_wrapper.type', 'optim_wrapper.optimizer.lr',
        'auto_scale_lr.base_batch_size', 'randomness.seed', 'custom_imports.imports',
        'custom_imports.allow_failed_imports'}
    batch = 96 if host == 'mobilenet-v2' else 128
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == batch
    assert cfg.optim_wrapper.optimizer.lr == RATES[host]
    if host != 'mobilenet-v2':  # whose batch and rate are ECA-Net's
        scaled = stock.optim_wrapper.optimizer.lr * batch / stock.auto_scale_lr.base_batch_size
        assert RATES[host] == pytest.approx(scaled)


@pytest.mark.parametrize('host, part', [row for row in rows() if row.values[1] != 'stock'])
def test_a_part_changes_the_backbones_type_and_its_plugins(host, part):
    cfg, stock = load(path_of(host, part)), load(path_of(host, 'stock'))
    assert recipes.difference(cfg, stock) == {'model.backbone.type', 'model.backbone.host', 'model.backbone.plugins'}
    assert cfg.model.backbone.host == stock.model.backbone.type
    assert cfg.model.backbone.plugins[0].cfg == dict(type=part.upper())


@pytest.mark.parametrize('name', ABLATIONS)
def test_an_ablation_changes_one_argument_of_scsa(name):
    cfg, full = load(ablation(name)), load(path_of('resnet50', 'scsa'))
    assert recipes.difference(cfg, full) == {'model.backbone.plugins'}
    [ours], [theirs] = cfg.model.backbone.plugins, full.model.backbone.plugins
    assert ours.before == theirs.before and len(ours.cfg) == 2 and ours.cfg.type == 'SCSA'


def learns_and_predicts(cfg):
    """A loss, a gradient that is not zero on every parameter, and a prediction; images are small except for Swin.

    SA's norms alone have none in the first step: they stand before scales that its authors start at zero.
    """
    if cfg.model.backbone.get('host', cfg.model.backbone.type) == 'ResNet':
        cfg.model.backbone.zero_init_residual = False  # or nothing in a block would get a gradient
    if 'drop_path_rate' in cfg.model.backbone:
        cfg.model.backbone.drop_path_rate = 0  # a block that is left out gets no gradient
    cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)  # as the runner does
    model = recipes.build(cfg)
    size = 224 if 'Swin' in type(model.backbone).__name__ else 65
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(256, (3, size, size), generator=generator, dtype=torch.uint8) for _ in range(2)]
    batch = dict(inputs=images, data_samples=[DataSample().set_gt_label(i) for i in range(2)])
    model.train()
    with torch.autocast('cpu', dtype=torch.bfloat16):  # mixed precision, as the recipes train
        loss = recipes.loss(model, copy.deepcopy(batch))
    assert torch.isfinite(loss)
    loss.backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not [name for name, p in model.named_parameters() if not p.grad.any() and '.sa.norm.' not in name]
    model.train(False)
    with torch.no_grad():
        predictions = model.test_step(batch)
    assert all(p.pred_score.shape == (1000, ) and p.pred_score.sum() == pytest.approx(1, abs=1e-3) for p in predictions)
    return model


def plugins_of(model):
    return [module for module in model.modules() if isinstance(module, Plugin)]


@pytest.mark.parametrize('host, part', [row for row in rows(lambda host, part: part == 'scsa' and host != 'resnet101')
                                        if row.values[1] != 'stock'])
def test_learns_and_predicts(host, part):
    model = learns_and_predicts(load(path_of(host, part)))
    blocks = dict(resnet50=16, resnet101=33)
    assert len(plugins_of(model)) == {'mobilenet-v2': 17, 'repvgg-A0': 21, 'swin-tiny': 12, **blocks}[host]


@pytest.mark.parametrize('name', [pytest.param(name, marks=[] if name == 'unshared' else [SLOW]) for name in ABLATIONS])
def test_ablations_learn_and_predict(name):
    assert len(plugins_of(learns_and_predicts(load(ablation(name))))) == 16


@pytest.mark.parametrize('part', ['se', 'ca', 'scsa'])
def test_one_switch_puts_a_baseline_where_scsa_stands(part):
    options = DictAction(['--cfg-options'], dest='cfg_options', nargs='+')
    namespace = type('Namespace', (), {})()
    options(None, namespace, ['model.backbone.plugins.0.after=None',
                              r'model.backbone.plugins.0.before=layer\d\.\d+\.conv3'])
    cfg = load(path_of('resnet50', part))
    cfg.merge_from_dict(namespace.cfg_options)
    init_default_scope('mmpretrain')
    backbone = MODELS.build(cfg.model.backbone)
    where = []
    plugin = getattr(backbone.layer1[0], part)
    plugin.register_forward_hook(lambda module, args, output: where.append(output))
    backbone.layer1[0].conv3.register_forward_hook(lambda module, args, output: where.append(args[0]))
    with torch.no_grad():
        backbone(torch.zeros(1, 3, 64, 64))
    assert where[0] is where[1]


def test_missing_data_is_told_with_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    init_default_scope('mmpretrain')
    dataset = load(path_of('resnet50', 'stock')).train_dataloader.dataset
    with pytest.raises(DatasetNotFoundError) as told:
        DATASETS.build(dataset)
    for words in ('data/imagenet/train does not exist', IMAGENET.url, IMAGENET.terms, 'read it from data/imagenet'):
        assert words in str(told.value)
    assert 'prepare_dataset' not in str(told.value)
    for folder in ('train', 'meta'):
        (tmp_path / 'data/imagenet' / folder).mkdir(parents=True)
    (tmp_path / 'data/imagenet/meta/train.txt').write_text('1.JPEG 0\n2.JPEG 999\n')
    assert DATASETS.build(dataset).get_gt_labels().tolist() == [0, 999]
