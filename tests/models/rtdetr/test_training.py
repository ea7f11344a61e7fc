"""Training with the full recipe: pipeline, batch augmentation, optimizer, averaged weights."""
import json

import mmcv
import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from mmengine.optim import build_optim_wrapper
from mmengine.runner import CheckpointLoader, Runner

import recipes
import rtdetr


@pytest.fixture(scope='module')
def coco(tmp_path_factory):
    """Two images in COCO format, one without objects."""
    root = tmp_path_factory.mktemp('coco')
    (root / 'annotations').mkdir()
    generator = np.random.default_rng(0)
    images, annotations = [], []
    for i, (height, width) in enumerate([(80, 120), (96, 64)], 1):
        mmcv.imwrite(generator.integers(0, 255, (height, width, 3), dtype=np.uint8), str(root / f'images/{i}.jpg'))
        images.append(dict(id=i, file_name=f'{i}.jpg', height=height, width=width))
    for i, box in enumerate([[10, 10, 50, 40], [60, 30, 40, 40], [5, 50, 30, 20]], 1):
        annotations.append(dict(id=i, image_id=1, category_id=i, bbox=box, area=box[2] * box[3], iscrowd=0))
    categories = [dict(id=i, name=name) for i, name in enumerate(CocoDataset.METAINFO['classes'], 1)]
    text = json.dumps(dict(images=images, annotations=annotations, categories=categories))
    for name in ('train', 'val'):
        (root / 'annotations' / f'instances_{name}2017.json').write_text(text)
    return root


def on_two_images(cfg, root, work_dir):
    """Set the recipe up for one epoch on the synthetic images."""
    for name in ('train', 'val', 'test'):
        loader = cfg[f'{name}_dataloader']
        loader.dataset.data_root = f'{root}/'
        loader.dataset.ann_file = 'annotations/instances_val2017.json'
        loader.dataset.data_prefix = dict(img='images/')
        loader.num_workers, loader.persistent_workers = 0, False
        for step in loader.dataset.pipeline:  # smaller than in the recipe
            if step.type == 'Resize':
                step.scale = (128, 128)
    for name in ('val', 'test'):
        cfg[f'{name}_evaluator'].ann_file = f'{root}/annotations/instances_val2017.json'
    cfg.model.data_preprocessor.batch_augments = [
        dict(type='BatchSyncRandomResize', random_size_range=(64, 160), interval=1)]
    cfg.model.backbone.init_cfg = None
    cfg.train_cfg.max_epochs = 1
    cfg.work_dir = str(work_dir)
    return cfg


@pytest.mark.slow
@pytest.mark.parametrize('name', ['rtdetr_r18vd_fine_8xb2-72e_coco', 'rtdetr_r50vd_8xb2-72e_coco'])
def test_recipe_trains_and_validates(name, coco, tmp_path):
    cfg = on_two_images(rtdetr.small(name, **{'bbox_head.num_classes': 80}), coco, tmp_path)
    runner = Runner.from_cfg(cfg)
    before = {name: p.clone() for name, p in runner.model.named_parameters() if p.requires_grad}
    runner.train()
    assert runner.iter == 1
    assert all(torch.isfinite(p).all() for p in runner.model.parameters())
    moved = [name for name, p in runner.model.named_parameters() if name in before and not torch.equal(p, before[name])]
    assert any(name.startswith('backbone') for name in moved) and any(name.startswith('decoder') for name in moved)
    checkpoint = CheckpointLoader.load_checkpoint(str(tmp_path / 'epoch_1.pth'), map_location='cpu')
    assert 'ema_state_dict' in checkpoint


def test_learning_rates_and_weight_decay():
    """As in the release: a tenth of the learning rate in the backbone, no decay of norms and biases."""
    cfg = rtdetr.small('rtdetr_r18vd_8xb2-72e_coco')
    model = recipes.build(cfg)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    groups = {id(p): group for group in wrapper.optimizer.param_groups for p in group['params']}
    norms = {id(p) for m in model.modules() if isinstance(m, (torch.nn.BatchNorm2d, torch.nn.LayerNorm))
             for p in m.parameters()}
    for name, p in model.named_parameters():
        group = groups[id(p)]
        assert group['initial_lr' if 'initial_lr' in group else 'lr'] == pytest.approx(
            1e-5 if name.startswith('backbone.') else 1e-4), name
        plain = id(p) not in norms and not name.endswith('bias')
        assert group['weight_decay'] == (1e-4 if plain else 0), name
    assert wrapper.clip_grad_kwargs['max_norm'] == 0.1
