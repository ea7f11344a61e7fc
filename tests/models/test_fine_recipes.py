"""Recipes of FINE and its baselines: each model trains, predicts, and starts as the stock model."""
import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData

import recipes
from mmxattn.utils.config import build_model

HOSTS = {  # recipe: (toolbox, stock recipe, parameters of both)
    'faster-rcnn_r50_fine-pafpn_1x_coco': ('mmdet', 'pafpn/faster-rcnn_r50_pafpn_1x_coco.py', 45_293_536, 46_347_744),
    'yolox_s_fine-pafpn_8xb8-300e_coco': ('mmdet', 'yolox/yolox_s_8xb8-300e_coco.py', 8_968_255, 9_627_839),
    'rtmdet_s_fine-pafpn_8xb32-300e_coco': ('mmdet', 'rtmdet/rtmdet_s_8xb32-300e_coco.py', 8_886_924, 9_546_508),
    'panoptic-fpn_r50_fine-fpn_1x_coco': ('mmdet', 'panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py', 46_027_110,
                                          47_606_662),
    'fpn_r50_fine_4xb2-80k_cityscapes-512x1024': ('mmseg', 'sem_fpn/fpn_r50_4xb2-80k_cityscapes-512x1024.py',
                                                  28_497_907, 30_077_459),
}
BASELINES = {'sni-fpn': 41_753_056, 'fapn': 45_482_033, 'adafpn': 45_667_639, 'mgc-fpn': 44_379_104}


def recipe(name):
    return Config.fromfile(recipes.CONFIGS / 'fine' / f'{name}.py')


def batch_of(cfg, model, sizes):
    batch = recipes.inputs(cfg, model, sizes)
    if cfg.model.type == 'PanopticFPN':
        for sample, (height, width) in zip(batch['data_samples'], sizes):
            sample.gt_sem_seg = PixelData(sem_seg=torch.randint(53, (1, height, width)))
    return batch


def check_training_and_prediction(cfg, without_gradient=()):
    """Use odd sizes, different ones if the toolbox pads. Skip parameters that end with one of ``without_gradient``."""
    if cfg.default_scope == 'mmseg':
        cfg.model.data_preprocessor.size = (97, 131)
        sizes = [(97, 131)] * 2
    else:
        sizes = [(97, 131), (75, 160)]
    if cfg.model.type == 'YOLOX':
        cfg.model.data_preprocessor.batch_augments = None
    model = recipes.build(cfg)
    model.train()
    batch = batch_of(cfg, model, sizes)
    loss = recipes.loss(model, copy.deepcopy(batch))
    assert torch.isfinite(loss)
    loss.backward()
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert not [name for name, p in trainable.items() if p.grad is None or not p.grad.isfinite().all()]
    assert not [name for name, p in trainable.items()
                if name.startswith('neck.') and not name.endswith(without_gradient) and not p.grad.any()]
    model.eval()
    with torch.no_grad():
        assert len(model.test_step(batch_of(cfg, model, sizes))) == 2


@pytest.mark.parametrize('name', HOSTS)
def test_model_trains_and_predicts(name):
    check_training_and_prediction(recipe(name))


@pytest.mark.parametrize('name', BASELINES)
def test_baseline_trains_and_predicts(name):
    cfg = recipe(f'baselines/faster-rcnn_r50_{name}_1x_coco')
    check_training_and_prediction(cfg, ('compare.weight', 'compare.bias'))  # the offsets of FaPN start at zero


@pytest.mark.parametrize('name', HOSTS)
def test_model_has_the_documented_parameters(name):
    package, stock, before, after = HOSTS[name]
    assert recipes.count(build_model(recipe(name))) == after
    assert recipes.count(build_model(recipes.stock(package, stock))) == before


@pytest.mark.parametrize('name, parameters', BASELINES.items())
def test_baseline_has_the_documented_parameters(name, parameters):
    cfg = recipe(f'baselines/faster-rcnn_r50_{name}_1x_coco')
    assert recipes.count(build_model(cfg)) == parameters


@pytest.mark.parametrize('name', HOSTS)
def test_only_the_neck_changes(name):
    package, stock, *_ = HOSTS[name]
    changed = recipes.difference(recipe(name), recipes.stock(package, stock))
    assert {key for key in changed if not key.startswith('custom_imports')} <= {
        'model.neck.type', 'model.neck.fine_cfg.ffn_ratio', 'model.neck.fine_cfg.attention'}


@pytest.mark.parametrize('name', ['yolox_s_fine-pafpn_8xb8-300e_coco', 'rtmdet_s_fine-pafpn_8xb32-300e_coco'])
def test_zero_init_is_the_stock_detector(name):
    package, stock, *_ = HOSTS[name]
    cfg = recipe(name)
    cfg.model.neck.zero_init = True
    ours, theirs = recipes.build(cfg), recipes.build(recipes.stock(package, stock))
    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert not unexpected and all(key.startswith('neck.fine.') for key in missing)
    image = torch.randn(1, 3, 96, 160)
    with torch.no_grad():
        outs = [model.eval()(image, mode='tensor') for model in (ours, theirs)]
    pairs = list(zip(*([x for level in out for x in level] for out in outs)))
    assert pairs and all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize('name', ['yolox_s', 'rtmdet_s'])
def test_visdrone_recipes_differ_from_coco_recipes_in_the_data(name):
    folder = recipes.CONFIGS / 'fine' / 'visdrone'
    [stock] = folder.glob(f'{name}_8*.py')
    [ours] = folder.glob(f'{name}_fine-pafpn_8*.py')
    stock, ours = Config.fromfile(stock), Config.fromfile(ours)
    assert recipes.difference(ours, stock) == {'model.neck.type'}
    coco = recipe(next(n for n in HOSTS if n.startswith(name)))
    assert ours.model.neck == coco.model.neck
    model = {key for key in recipes.difference(ours, coco) if key.startswith('model.')}
    assert model <= {'model.bbox_head.num_classes', 'model.data_preprocessor.batch_augments'}
    assert '640' not in str(ours.train_dataloader) + str(ours.val_dataloader) and '800' in str(ours.train_dataloader)
    assert 'coco' not in str(ours.train_dataloader.dataset).lower().replace('cocodataset', '')
    assert 'VisDrone2019-DET' in ours.test_evaluator.ann_file


@pytest.mark.parametrize('name', ['yolox_s_fine-pafpn_8xb8-300e', 'rtmdet_s_fine-pafpn_8xb32-300e'])
def test_visdrone_recipes_load_images_at_800x800(name, tmp_path):
    """Synthetic images of VisDrone's sizes pass the training and the test pipeline."""
    from mmdet.registry import DATASETS
    from mmengine.registry import init_default_scope
    cfg = Config.fromfile(recipes.CONFIGS / 'fine' / 'visdrone' / f'{name}_visdrone-800x800.py')
    init_default_scope('mmdet')
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    for dataset in (train.get('dataset', train), val):
        classes = write_coco(tmp_path / dataset.ann_file, tmp_path / dataset.data_prefix.img)
        dataset.data_root = str(tmp_path)
    train, val = DATASETS.build(train), DATASETS.build(val)
    assert len(train) == len(val) == 2 and len(val.metainfo['classes']) == cfg.model.bbox_head.num_classes == classes
    assert train[0]['inputs'].shape == val[0]['inputs'].shape == (3, 800, 800)


def write_coco(file, folder, sizes=((765, 1360), (540, 960))):
    """Write a COCO file of two random images with one box per class; return the number of classes."""
    import json

    import cv2

    from mmxattn.datasets.converters.visdrone import CLASSES
    folder.mkdir(parents=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    images, boxes = [], []
    for i, (height, width) in enumerate(sizes):
        cv2.imwrite(str(folder / f'{i}.jpg'), torch.randint(256, (height, width, 3)).numpy().astype('uint8'))
        images.append(dict(id=i, file_name=f'{i}.jpg', height=height, width=width))
        boxes += [dict(id=100 * i + c, image_id=i, category_id=c, bbox=[40 * c, 30 * c, 60, 80], area=4800, iscrowd=0)
                  for c in range(len(CLASSES))]
    categories = [dict(id=c, name=name) for c, name in enumerate(CLASSES)]
    file.write_text(json.dumps(dict(images=images, annotations=boxes, categories=categories)))
    return len(CLASSES)


def test_ablations_change_one_thing():
    base = Config.fromfile(recipes.CONFIGS / 'fine' / 'faster-rcnn_r50_fine-fpn_1x_coco.py')
    for path in (recipes.CONFIGS / 'fine' / 'ablations').glob('*.py'):
        changed = recipes.difference(Config.fromfile(path), base)
        assert changed and all(key.startswith(('model.neck.kernel_sizes', 'model.neck.fine_cfg.')) for key in changed)
        neck = recipes.build(Config(dict(default_scope='mmdet', model=Config.fromfile(path).model.neck)))
        assert len(neck.fine) == 2
