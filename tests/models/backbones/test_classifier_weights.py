"""Backbones trained as classifiers in detectors, as in the README of configs/scsa/imagenet."""
import os
import re
import subprocess
import sys

import mmdet
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader, save_checkpoint
from PIL import Image

import recipes
from mmxattn.models import SCSA
from mmxattn.registry import MODELS

SMALL = dict(base_channels=8, stem_channels=8)
README = recipes.CONFIGS / 'scsa/imagenet/README.md'
MMDET = f'{mmdet.__path__[0]}/.mim/configs'
TRAIN = recipes.CONFIGS.parent / 'tools' / 'train.py'


@pytest.fixture(autouse=True)
def quiet():
    MMLogger.get_instance('tests', log_level='ERROR')
    yield
    init_default_scope('mmdet')  # mmpretrain would be the default scope of other tests


def draw_images(folder):
    """Write images of two classes that differ in color."""
    generator = np.random.default_rng(0)
    for name, colour in (('blue', (40, 60, 200)), ('green', (40, 200, 60))):
        (folder / name).mkdir(parents=True)
        for i in range(8):
            noise = generator.integers(-30, 30, (48, 64, 3))
            Image.fromarray(np.uint8(np.clip(np.array(colour) + noise, 0, 255))).save(folder / name / f'{i}.png')


def classifier_recipe(data):
    """SCSA-50 of configs/scsa/imagenet on the synthetic images, with few channels and in float32."""
    return f"""
_base_ = '{recipes.CONFIGS / 'scsa/imagenet/resnet50-scsa_1xb128_in1k.py'}'
model = dict(backbone=dict(base_channels=8, stem_channels=8, zero_init_residual=False),
             head=dict(in_channels=256, num_classes=2, topk=(1, )))
data_preprocessor = dict(num_classes=2)
pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(48, 48)), dict(type='PackInputs')]
dataset = dict(_delete_=True, type='CustomDataset', data_root='{data}', pipeline=pipeline)
train_dataloader = dict(batch_size=8, num_workers=0, persistent_workers=False, dataset=dataset)
val_dataloader = dict(batch_size=8, num_workers=0, persistent_workers=False, dataset=dataset)
val_evaluator = dict(topk=(1, ))
test_dataloader = val_dataloader
test_evaluator = val_evaluator
optim_wrapper = dict(type='OptimWrapper')
train_cfg = dict(max_epochs=2)
default_hooks = dict(logger=dict(interval=1))
"""


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Checkpoint and output of tools/train.py for a small SCSA-50."""
    folder = tmp_path_factory.mktemp('classifier')
    draw_images(folder / 'data')
    recipe = folder / 'scsa50.py'
    recipe.write_text(classifier_recipe(folder / 'data'))
    run = subprocess.run([sys.executable, TRAIN, recipe, '--work-dir', folder / 'out'], capture_output=True, text=True,
                         cwd=folder, env={**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''})
    assert run.returncode == 0, run.stderr[-3000:]
    return folder / 'out' / 'epoch_2.pth', run.stdout + run.stderr


def state_of(checkpoint):
    """The backbone's weights in a checkpoint."""
    state = CheckpointLoader.load_checkpoint(str(checkpoint), map_location='cpu')['state_dict']
    return {key.removeprefix('backbone.'): value for key, value in state.items() if key.startswith('backbone.')}


def recipe_of_the_readme(host, base, checkpoint, folder):
    """The README's config for a host, with other ``base`` and ``checkpoint``."""
    [block] = [block for block in re.findall(r'```python\n(.*?)```', README.read_text(), re.DOTALL) if host in block]
    lines = re.sub(r"checkpoint='work_dirs/[^']+'", f"checkpoint='{checkpoint}'", block)
    assert lines != block
    file = folder / 'recipe.py'
    file.write_text(f"_base_ = '{base}'\n" + re.sub(r"_base_ = .*\n", '', lines))
    return Config.fromfile(file)


def build(cfg):
    init_default_scope('mmdet')
    from mmdet.registry import MODELS as DETECTORS
    model = DETECTORS.build(cfg.model)
    model.init_weights()
    return model


def detector(checkpoint, folder):
    """Faster R-CNN with SCSA and the classifier's weights."""
    base = recipes.CONFIGS / 'scsa/faster-rcnn_r50-scsa_fpn_1x_coco.py'
    cfg = recipe_of_the_readme('faster-rcnn', base, checkpoint, folder)
    cfg.model.backbone.update(SMALL)
    cfg.model.neck.in_channels = [32, 64, 128, 256]
    cfg.model.roi_head.bbox_head.fc_out_channels = 64
    return cfg, build(cfg)


def same_weights(backbone, state):
    own = backbone.state_dict()
    return own.keys() == state.keys() and all(torch.equal(value, state[key]) for key, value in own.items())


def features(backbone, size=(65, 97)):
    backbone.train(False)
    with torch.no_grad():
        return backbone(torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)))


@pytest.mark.slow
def test_classifier_trains_with_the_train_tool(trained):
    checkpoint, printed = trained
    assert checkpoint.is_file() and 'accuracy/top1' in printed
    assert 'layer1.0.scsa.v.weight' in state_of(checkpoint)


@pytest.mark.slow
def test_faster_rcnn_has_the_trained_backbone(trained, tmp_path):
    checkpoint, _ = trained
    state = state_of(checkpoint)
    _, model = detector(checkpoint, tmp_path)
    assert same_weights(model.backbone, state)
    classifier = MODELS.build(dict(type='WithPlugins', host='mmpretrain.ResNet', depth=50, **SMALL,
                                   out_indices=(0, 1, 2, 3),
                                   plugins=[dict(cfg=dict(type='SCSA'), before=r'layer\d\.\d+\.conv3')]))
    classifier.load_state_dict(state)
    assert all(torch.equal(a, b) for a, b in zip(features(model.backbone), features(classifier), strict=True))


@pytest.mark.slow
def test_frozen_stage_is_frozen_with_its_plugins(trained, tmp_path):
    cfg, model = detector(trained[0], tmp_path)
    model.train()
    first, second = model.backbone.layer1, model.backbone.layer2
    assert isinstance(first[0].scsa, SCSA)
    assert not any(p.requires_grad for p in first.parameters())
    assert all(p.requires_grad for p in second[0].scsa.parameters())
    recipes.loss(model, recipes.inputs(cfg, model, [(97, 131)])).backward()
    assert second[0].scsa.v.weight.grad.any() and first[0].scsa.v.weight.grad is None


def as_checkpoint(backbone, file):
    """Write a classifier's checkpoint with this backbone."""
    save_checkpoint(dict(state_dict={f'backbone.{key}': value for key, value in backbone.state_dict().items()},
                         meta=dict(epoch=1)), str(file))
    return str(file)


def test_swin_of_mmpretrain_loads_into_mmdets(tmp_path):
    """mmdet's Swin loads weights itself and removes the prefix."""
    arch = dict(embed_dims=16, depths=[1, 2, 1, 1], num_heads=[1, 2, 2, 4])
    init_default_scope('mmpretrain')
    classifier = MODELS.build(dict(type='WithPlugins', host='SwinTransformer', arch=arch, pad_small_map=True,
                                   out_indices=(0, 1, 2, 3),
                                   plugins=[dict(cfg=dict(type='SCSA'), after=r'stages\.\d\.blocks\.\d\.attn')]))
    classifier.init_weights()
    cfg = recipe_of_the_readme('SwinTransformer', f'{MMDET}/swin/retinanet_swin-t-p4-w7_fpn_1x_coco.py',
                               as_checkpoint(classifier, tmp_path / 'swin.pth'), tmp_path)
    cfg.model.backbone.update(arch, out_indices=(0, 1, 2, 3))
    cfg.model.neck.in_channels = [16, 32, 64, 128]
    backbone = build(cfg).backbone
    assert same_weights(backbone, classifier.state_dict())
    for ours, theirs in zip(features(backbone, (97, 131)), features(classifier, (97, 131)), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_backbone_of_mmpretrain_works_in_a_detector(tmp_path):
    """mmdet's MobileNetV2 has other layer names."""
    init_default_scope('mmpretrain')
    recipe = Config.fromfile(recipes.CONFIGS / 'scsa/imagenet/mobilenet-v2-scsa_1xb96_in1k.py')
    classifier = MODELS.build(dict(recipe.model.backbone, out_indices=(1, 2, 4, 6)))
    checkpoint = as_checkpoint(classifier, tmp_path / 'classifier.pth')
    model = build(recipe_of_the_readme('MobileNetV2', f'{MMDET}/retinanet/retinanet_r50_fpn_1x_coco.py', checkpoint,
                                       tmp_path))
    assert same_weights(model.backbone, classifier.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(features(model.backbone), features(classifier), strict=True))
    assert len(model.extract_feat(torch.zeros(1, 3, 65, 97))) == 5
