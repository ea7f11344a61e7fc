"""ImageNet classifiers with SCSA and its baselines (Tables 1 and 2), based on mmpretrain.

tests/docs/test_published_counts.py compares their counts with the paper.
"""
import copy

import pytest
import recipe_files
import torch
import yaml
from mmengine.config import DictAction
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, MODELS
from mmpretrain.structures import DataSample

import recipes
from mmxattn.datasets.sources import IMAGENET, DatasetNotFoundError
from mmxattn.models.plugins.plugin import Plugin

SCSA = recipes.CONFIGS / 'scsa'
STOCK = {
    'resnet50': 'resnet/resnet50_8xb32_in1k.py',
    'resnet101': 'resnet/resnet101_8xb32_in1k.py',
    'mobilenet-v2': 'mobilenet_v2/mobilenet-v2_8xb32_in1k.py',
    'repvgg-A0': 'repvgg/repvgg-A0_8xb32_in1k.py',
    'swin-tiny': 'swin_transformer/swin-tiny_16xb64_in1k.py',
}
LEARNING_RATES = {  # Sec. 4.1
    'resnet50': .05, 'resnet101': .05, 'mobilenet-v2': .045, 'repvgg-A0': .05, 'swin-tiny': 1.25e-4}
MODULES = {
    'resnet50': ('stock', 'eca', 'se', 'fca', 'cpca', 'cbam', 'sa', 'ela', 'ca', 'ema', 'scsa'),
    'resnet101': ('stock', 'eca', 'se', 'fca', 'cbam', 'ca', 'scsa'),
    'mobilenet-v2': ('stock', 'eca', 'cbam', 'scsa'),
    'repvgg-A0': ('stock', 'eca', 'ca', 'scsa'),
    'swin-tiny': ('stock', 'scsa'),
}
NUM_BLOCKS = {'resnet50': 16, 'resnet101': 33, 'mobilenet-v2': 17, 'repvgg-A0': 21, 'swin-tiny': 12}
RECIPES = [(host, module) for host, modules in MODULES.items() for module in modules]
MODIFIED = [recipe for recipe in RECIPES if recipe[1] != 'stock']
QUICK = [('mobilenet-v2', 'scsa'), ('resnet50', 'scsa'), ('swin-tiny', 'scsa')]
ABLATIONS = ['bn', 'k3', 'k3-7', 'k7', 'ln', 'multi-head', 'no-norm', 'no-pc', 'no-pcsa', 'no-smsa', 'norm-first',
             'pcsa-first', 'scale-hw', 'unshared']


@pytest.fixture(autouse=True)
def restore_scope():
    yield
    init_default_scope('mmdet')  # the other tests do not expect mmpretrain's scope


def path_of(host, module):
    batch_size = 96 if host == 'mobilenet-v2' else 128
    return SCSA / 'imagenet' / f'{host}{"" if module == "stock" else f"-{module}"}_1xb{batch_size}_in1k.py'


def ablation(name):
    return SCSA / 'ablations' / f'resnet50-scsa-{name}_1xb128_in1k.py'


def test_recipes_match_the_rows_of_tables_1_and_2():
    tables = yaml.safe_load((recipes.CONFIGS.parent / 'docs/paper_tables/scsa_imagenet.yml').read_text())['tables']
    rows = {recipes.CONFIGS / row['config'] for table in tables for row in table['rows']}
    files = {*(SCSA / 'imagenet').glob('*.py'), *(SCSA / 'ablations').glob('*.py')}
    assert rows == files == {*(path_of(*recipe) for recipe in RECIPES), *map(ablation, ABLATIONS)}


@pytest.mark.parametrize('host', STOCK)
def test_training_settings_match_the_paper(host):
    cfg, stock = recipe_files.load(path_of(host, 'stock')), recipes.stock('mmpretrain', STOCK[host])
    assert recipes.difference(cfg, stock) <= {
        'train_dataloader.batch_size', 'optim_wrapper.type', 'optim_wrapper.optimizer.lr',
        'auto_scale_lr.base_batch_size', 'randomness.seed', 'custom_imports.imports',
        'custom_imports.allow_failed_imports'}
    batch_size = 96 if host == 'mobilenet-v2' else 128
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == batch_size
    assert cfg.optim_wrapper.optimizer.lr == LEARNING_RATES[host]
    if host != 'mobilenet-v2':  # uses the settings of ECA-Net
        scaled = stock.optim_wrapper.optimizer.lr * batch_size / stock.auto_scale_lr.base_batch_size
        assert LEARNING_RATES[host] == pytest.approx(scaled)


@pytest.mark.parametrize('host, module', MODIFIED)
def test_recipe_changes_only_the_backbone(host, module):
    cfg, stock = recipe_files.load(path_of(host, module)), recipe_files.load(path_of(host, 'stock'))
    assert recipes.difference(cfg, stock) == {'model.backbone.type', 'model.backbone.host', 'model.backbone.plugins'}
    assert cfg.model.backbone.host == stock.model.backbone.type
    assert cfg.model.backbone.plugins[0].cfg == dict(type=module.upper())


@pytest.mark.parametrize('name', ABLATIONS)
def test_ablation_changes_one_argument(name):
    cfg, full = recipe_files.load(ablation(name)), recipe_files.load(path_of('resnet50', 'scsa'))
    assert recipes.difference(cfg, full) == {'model.backbone.plugins'}
    [ours], [theirs] = cfg.model.backbone.plugins, full.model.backbone.plugins
    assert ours.before == theirs.before and len(ours.cfg) == 2 and ours.cfg.type == 'SCSA'


def train_and_predict(cfg):
    """Compute a loss, its gradients and predictions for small images; return the number of plugins.

    SA's norms have zero gradients in the first step, because they precede scales that are initialized with zeros.
    """
    if cfg.model.backbone.get('host', cfg.model.backbone.type) == 'ResNet':
        cfg.model.backbone.zero_init_residual = False  # blocks the gradients of all blocks
    if 'drop_path_rate' in cfg.model.backbone:
        cfg.model.backbone.drop_path_rate = 0  # dropped blocks have no gradients
    cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)  # as in the runner
    model = recipes.build(cfg)
    size = 224 if 'Swin' in type(model.backbone).__name__ else 65
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(256, (3, size, size), generator=generator, dtype=torch.uint8) for _ in range(2)]
    batch = dict(inputs=images, data_samples=[DataSample().set_gt_label(i) for i in range(2)])
    model.train()
    with torch.autocast('cpu', dtype=torch.bfloat16):  # the recipes use mixed precision
        loss = recipes.loss(model, copy.deepcopy(batch))
    assert torch.isfinite(loss)
    loss.backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not [name for name, p in model.named_parameters() if not p.grad.any() and '.sa.norm.' not in name]
    model.train(False)
    with torch.no_grad():
        predictions = model.test_step(batch)
    assert all(p.pred_score.shape == (1000, ) and p.pred_score.sum() == pytest.approx(1, abs=1e-3) for p in predictions)
    return sum(isinstance(module, Plugin) for module in model.modules())


@pytest.mark.parametrize('host, module', [
    pytest.param(*recipe, marks=[] if recipe in QUICK else [pytest.mark.slow]) for recipe in MODIFIED])
def test_trains_and_predicts(host, module):
    assert train_and_predict(recipe_files.load(path_of(host, module))) == NUM_BLOCKS[host]


@pytest.mark.parametrize('name', [pytest.param(name, marks=[] if name == 'unshared' else [pytest.mark.slow])
                                  for name in ABLATIONS])
def test_ablation_trains_and_predicts(name):
    assert train_and_predict(recipe_files.load(ablation(name))) == 16


@pytest.mark.parametrize('module', ['se', 'ca', 'scsa'])
def test_option_in_readme_moves_the_plugin(module):
    options = DictAction(['--cfg-options'], dest='cfg_options', nargs='+')
    namespace = type('Namespace', (), {})()
    options(None, namespace, ['model.backbone.plugins.0.after=None',
                              r'model.backbone.plugins.0.before=layer\d\.\d+\.conv3'])
    cfg = recipe_files.load(path_of('resnet50', module))
    cfg.merge_from_dict(namespace.cfg_options)
    init_default_scope('mmpretrain')
    backbone = MODELS.build(cfg.model.backbone)
    block, tensors = backbone.layer1[0], []
    getattr(block, module).register_forward_hook(lambda module, args, output: tensors.append(output))
    block.conv3.register_forward_hook(lambda module, args, output: tensors.append(args[0]))
    with torch.no_grad():
        backbone(torch.zeros(1, 3, 64, 64))
    assert tensors[0] is tensors[1]


def test_missing_imagenet_reports_download(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    init_default_scope('mmpretrain')
    dataset = recipe_files.load(path_of('resnet50', 'stock')).train_dataloader.dataset
    with pytest.raises(DatasetNotFoundError) as error:
        DATASETS.build(dataset)
    for words in ('data/imagenet/train does not exist', IMAGENET.url, IMAGENET.terms, 'read it from data/imagenet'):
        assert words in str(error.value)
    assert 'prepare_dataset' not in str(error.value)
    for folder in ('train', 'meta'):
        (tmp_path / 'data/imagenet' / folder).mkdir(parents=True)
    (tmp_path / 'data/imagenet/meta/train.txt').write_text('1.JPEG 0\n2.JPEG 999\n')
    assert DATASETS.build(dataset).get_gt_labels().tolist() == [0, 999]
