import mmdet
import mmseg
import pytest
import torch

from mmxattn.profiling.inputs import made_batch
from mmxattn.utils.config import build_model, load_config


def stock(package, name):
    return load_config(f'{package.__path__[0]}/.mim/configs/{name}.py')


@pytest.mark.parametrize('package, name', [
    (mmdet, 'retinanet/retinanet_r50_fpn_1x_coco'), (mmdet, 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco'),
    (mmdet, 'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco'),
    (mmseg, 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512'),
])
def test_a_model_learns_and_predicts_on_made_images(package, name):
    cfg = stock(package, name)
    batch = made_batch(cfg, (64, 96), 2, objects=3)
    assert [image.shape for image in batch['inputs']] == [(3, 64, 96)] * 2
    assert len({image.sum().item() for image in batch['inputs']}) == 2
    again = made_batch(cfg, (64, 96), 2, objects=3)
    assert all(torch.equal(*pair) for pair in zip(batch['inputs'], again['inputs']))
    if package is mmseg:
        cfg.model.data_preprocessor.size = (64, 96)
    model = build_model(cfg)
    model.train()
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert all(torch.as_tensor(value).isfinite().all() for values in losses.values()
               for value in (values if isinstance(values, list) else [values]))
    assert sum(name.startswith('loss') or '.loss' in name for name in losses) >= 1
    model.eval()
    with torch.no_grad():
        assert len(model.test_step(again)) == 2


def test_classes_are_the_recipes_own():
    labels = torch.cat([sample.gt_instances.labels for sample in made_batch(
        stock(mmdet, 'pascal_voc/faster-rcnn_r50_fpn_1x_voc0712'), (64, 64), 8, objects=20)['data_samples']])
    assert labels.max() < 20 and labels.unique().numel() > 10
