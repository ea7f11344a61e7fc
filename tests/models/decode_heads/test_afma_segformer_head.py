import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.models.decode_heads import SegformerHead
from mmseg.structures import SegDataSample

import recipes
from mmxattn.models import AFMASegformerHead

CHANNELS = [4, 8, 12, 16]
IMAGE = (66, 50)


def head(kind=AFMASegformerHead, **arguments):
    init_default_scope('mmseg')  # another toolbox has a CrossEntropyLoss too
    torch.manual_seed(1)
    return kind(**{**dict(in_channels=CHANNELS, in_index=[0, 1, 2, 3], channels=8, num_classes=5, dropout_ratio=0.,
                          norm_cfg=dict(type='BN'), align_corners=False), **arguments}).eval()


def inputs():
    torch.manual_seed(0)
    maps = [torch.randn(2, c, *size) for c, size in zip(CHANNELS, ((17, 13), (9, 7), (5, 4), (3, 2)))]
    return *maps, torch.randn(2, 3, *IMAGE)


def samples(num_classes=5):
    torch.manual_seed(2)
    labels = torch.randint(num_classes + 1, (2, 1, *IMAGE))
    labels[labels == num_classes] = 255
    return [SegDataSample(gt_sem_seg=PixelData(data=x)) for x in labels]


def at_image_size(logits):
    return torch.nn.functional.interpolate(logits, size=IMAGE, mode='bilinear', align_corners=False)


@pytest.mark.parametrize('patch_size', [1, 2, 8])
def test_corrects_the_stock_heads_masks(patch_size):
    ours, stock = head(patch_size=patch_size), head(SegformerHead)
    missing, unexpected = ours.load_state_dict(stock.state_dict(), strict=False)
    assert not unexpected and missing and all(key.startswith('afma.') for key in missing)
    *maps, image = inputs()
    masks = at_image_size(stock(maps))
    out = ours((*maps, image))
    assert torch.equal(out, ours.afma(image, maps[3], masks)) and not torch.allclose(out, masks)


def test_zero_init_is_the_stock_head():
    ours, stock = head(zero_init=True), head(SegformerHead)
    ours.init_weights()
    ours.load_state_dict(stock.state_dict(), strict=False)
    *maps, image = inputs()
    assert torch.equal(ours((*maps, image)), at_image_size(stock(maps)))


def test_loss_is_the_stock_loss_and_that_of_the_attention():
    ours = head(zero_init=True, afma_weight=0.5)
    stock = head(SegformerHead)
    stock.load_state_dict({k: v for k, v in ours.state_dict().items() if not k.startswith('afma.')})
    *maps, image = inputs()
    losses = ours.loss((*maps, image), samples(), {})
    for name, value in stock.loss(maps, samples(), {}).items():
        assert torch.equal(losses.pop(name), value)
    classes, target = ours.afma.encode(image, maps[3]), ours.one_hot_masks(samples())
    assert losses.pop('loss_afma') == 0.5 * ours.afma.loss(*classes, target) and not losses


def test_target_masks_are_one_hot_and_zero_at_ignored_pixels():
    labels = torch.stack([sample.gt_sem_seg.data[0] for sample in samples()])
    target = head().one_hot_masks(samples())
    assert target.shape == (2, 5, *IMAGE)
    assert torch.equal(target.sum(1), (labels != 255).float())
    assert torch.equal(target.argmax(1)[labels != 255], labels[labels != 255])


@pytest.mark.parametrize('patch_size', [1, 2])
def test_every_parameter_gets_a_gradient(patch_size):
    ours = head(patch_size=patch_size).train()
    losses = ours.loss(inputs(), samples(), {})
    (losses['loss_ce'] + losses['loss_afma']).backward()
    assert not [name for name, p in ours.named_parameters() if p.grad is None or not p.grad.any()]


def test_segmentor_passes_the_image():
    cfg = recipes.Config.fromfile(recipes.CONFIGS / 'cla/baselines/segformer_mit-b0_afma_8xb2-160k_ade20k-512x512.py')
    model = recipes.build(cfg).eval()
    data = model.data_preprocessor(recipes.inputs(cfg, model, [(97, 131)]))
    *maps, image = model.extract_feat(data['inputs'])
    assert len(maps) == 4 and torch.equal(image, data['inputs'])
    model.test_cfg = recipes.Config(dict(mode='slide', crop_size=(64, 64), stride=(48, 48)))
    with torch.no_grad():
        logits = model.encode_decode(image, [dict(img_shape=tuple(image.shape[2:]))] * 1)
    assert logits.shape == (1, 150, *image.shape[2:])
