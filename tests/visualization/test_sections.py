"""All there is to look at, in two models at once."""

import copy
import json

import pytest
from mmengine.config import Config
from PIL import Image
from torch import nn

import recipes
from mmxattn.visualization import class_meta, look
from mmxattn.visualization.sections import Section

TITLES = ['Effective receptive field', 'EigenCAM', 'Grad-CAM', 'HiResCAM', 'Before and after the part',
          "FINE's modulation map", 'Side by side']


@pytest.fixture(scope='module')
def detectors():
    """RetinaNet with FPN and with FINEFPN, random weights, and two images with ground truth."""
    stock = recipes.stock('mmdet', 'retinanet/retinanet_r18_fpn_1x_coco.py')
    stock.model.bbox_head.num_classes = 3
    ours = copy.deepcopy(stock)
    ours.model.neck = dict(ours.model.neck, type='mmxattn.FINEFPN')
    models = [recipes.build(cfg) for cfg in (stock, ours)]
    for model in models:
        model.eval()
    return models, [stock, ours], [recipes.inputs(stock, models[0], [(64, 96), (64, 96)])]


def test_two_detectors(detectors):
    models, cfgs, batches = detectors
    told = []
    looks = look(models, cfgs, batches, ['stock', 'fine'], number=1, average=2, say=told.append)
    assert [section.title for section in looks.sections] == TITLES
    assert told == TITLES
    assert [section.problems for section in looks.sections] == [[]] * len(TITLES)
    by_title = {section.title: section for section in looks.sections}
    for title in TITLES[:4] + TITLES[6:]:
        assert list(by_title[title].numbers) == ['stock', 'fine']
    for title in TITLES[4:6]:
        assert list(by_title[title].numbers) == ['fine']
    for section in looks.sections:
        assert section.caption.endswith('.')
        assert section.pictures
        for picture in section.pictures:
            assert picture.caption and isinstance(picture.image, Image.Image)

    stages = by_title['Effective receptive field'].numbers['fine']
    assert [stage['name'] for stage in stages] == [f'backbone.{k}' for k in range(4)] + [f'neck.{k}' for k in range(5)]
    assert all(stage['images'] == 2 for stage in stages)
    parts = by_title['Before and after the part'].numbers['fine']
    assert [part['name'] for part in parts] == ['neck.fine.0', 'neck.fine.1']
    maps = by_title['Grad-CAM'].numbers['fine']
    assert len(maps) == 1 and 0 < maps[0]['inside_by_chance'] < 1

    written = json.loads(json.dumps(looks.numbers()))
    assert list(written) == TITLES
    assert written['Side by side']['numbers']['fine'][0]['false_negatives'] > 0
    assert written['EigenCAM']['pictures'] == ['Image 1']


def test_two_segmentors():
    cfg = recipes.stock('mmseg', 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py')
    cfg.model.decode_head.num_classes = 4
    ours = copy.deepcopy(cfg)
    ours.model.decode_head.type = 'mmxattn.CLASegformerHead'
    models = [recipes.build(own) for own in (cfg, ours)]
    batch = recipes.inputs(cfg, models[0], [(64, 96)])
    looks = look(models, [cfg, ours], [batch], names=['stock', 'CLA'])
    by_title = {section.title: section for section in looks.sections}
    assert list(by_title) == [title for title in TITLES if title != "FINE's modulation map"]
    assert not any(section.problems for section in looks.sections)
    assert [stage['name'] for stage in by_title['Effective receptive field'].numbers['CLA']] == [
        'backbone.0', 'backbone.1', 'backbone.2', 'backbone.3', 'decode_head']
    assert [part['name'] for part in by_title['Before and after the part'].numbers['CLA']] == [
        'decode_head.blocks.0', 'decode_head.blocks.1']
    assert by_title['Side by side'].numbers['stock'][0]['pixels'] == 64 * 96


def test_what_one_model_does_not_allow_costs_neither_the_other_nor_the_rest(detectors):
    (stock, _), (cfg, _), batches = detectors
    looks = look([stock, nn.Linear(1, 1)], [cfg, cfg], batches, names=['stock', 'no detector'], number=1, average=1)
    for section in looks.sections[:4]:
        assert list(section.numbers) == ['stock'] and section.pictures
        assert len(section.problems) == 1 and section.problems[0].startswith('no detector: ')
    assert looks.sections[4].problems == ['None of these models has a part of mmxattn in it.']
    assert looks.sections[-1].problems[0].startswith('all: ')
    json.dumps(looks.numbers())


def test_what_does_not_belong_together_is_told(detectors):
    models, cfgs, batches = detectors
    with pytest.raises(ValueError, match=r"2 models, 2 recipes and the names \['a', 'a'\] do not belong together"):
        look(models, cfgs, batches, names=['a', 'a'])
    with pytest.raises(ValueError, match='the names .*retinanet_r18_fpn_1x_coco'):
        look(models[:1], cfgs[:1] * 2, batches)
    with pytest.raises(ValueError, match='1 models, 2 recipes'):
        look(models[:1], cfgs, batches)
    with pytest.raises(ValueError, match='no images'):
        look(models, cfgs, [], names=['a', 'b'])


def test_a_problem_is_told_once():
    def fail():
        raise KeyError('bbox')

    section = Section('title', 'caption')
    assert section.attempt('stock', fail) is None
    assert section.attempt('stock', fail) is None
    assert section.problems == ["stock: KeyError: 'bbox'"]
    assert section.attempt('stock', divmod, 7, 2) == (3, 1)


def test_classes_come_from_the_recipe_and_no_data_is_read():
    classes, palette = class_meta(recipes.stock('mmdet', 'retinanet/retinanet_r18_fpn_1x_coco.py'))
    assert len(classes) == len(palette) == 80 and classes[9] == 'traffic light'
    classes, palette = class_meta(recipes.stock('mmdet', 'pascal_voc/ssd300_voc0712.py'))  # wrapped for training
    assert classes[0] == 'aeroplane'
    assert class_meta(Config(dict(model=dict()))) == (None, None)
