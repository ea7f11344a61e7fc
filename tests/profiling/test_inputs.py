import pytest
import torch

import recipes
from mmxattn.profiling.inputs import synthetic_batch
from mmxattn.utils.config import build_model


@pytest.mark.parametrize('package, name', [
    ('mmdet', 'retinanet/retinanet_r18_fpn_1x_coco.py'), ('mmdet', 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'),
    ('mmdet', 'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py'),
    ('mmseg', 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'),
])
def test_models_train_and_predict_on_synthetic_batches(package, name):
    cfg = recipes.stock(package, name)
    batch = synthetic_batch(cfg, (64, 96), 2, objects=3)
    assert [image.shape for image in batch['inputs']] == [(3, 64, 96)] * 2
    assert not torch.equal(*batch['inputs'])
    again = synthetic_batch(cfg, (64, 96), 2, objects=3)
    assert all(torch.equal(*pair) for pair in zip(batch['inputs'], again['inputs']))
    if package == 'mmseg':
        cfg.model.data_preprocessor.size = (64, 96)
    model = build_model(cfg)
    model.train()
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    total, _ = model.parse_losses(losses)
    assert total.isfinite() and total > 0
    model.eval()
    with torch.no_grad():
        assert len(model.test_step(again)) == 2


def test_number_of_classes_comes_from_the_recipe():
    cfg = recipes.stock('mmdet', 'pascal_voc/faster-rcnn_r50_fpn_1x_voc0712.py')
    samples = synthetic_batch(cfg, (64, 64), 8, objects=20)['data_samples']
    labels = torch.cat([sample.gt_instances.labels for sample in samples])
    assert labels.max() < 20 and labels.unique().numel() > 10
