"""All visualizations of two models."""

import copy
import json

import pytest
from mmengine.config import Config
from PIL import Image
from torch import nn

import recipes
from mmxattn.visualization import class_meta, visualize
from mmxattn.visualization.sections import Section

TITLES = ['Effective receptive field', 'EigenCAM', 'Grad-CAM', 'HiResCAM', 'Before and after the module',
          'FINE modulation map', 'Side by side']


@pytest.fixture(scope='module')
def detectors():
    """RetinaNet with FPN and with FINEFPN (random weights), and two images with ground truth."""
    stock = recipes.stock('mmdet', 'retinanet/retinanet_r18_fpn_1x_coco.py')
    stock.model.bbox_head.num_classes = 3
    ours = copy.deepcopy(stock)
    ours.model.neck = dict(ours.model.neck, type='mmxattn.FINEFPN')
    models = [recipes.build(cfg) for cfg in (stock, ours)]
    for model in models:
        model.eval()
    return models, [stock, ours], [recipes.inputs(stock, models[0], [(64, 96), (64, 96)])]


def test_two_detectors_get_all_sections(detectors):
    models, cfgs, batches = detectors
    lines = []
    sections = visualize(models, cfgs, batches, ['stock', 'fine'], num_images=1, num_erf_images=2, log=lines.append)
    assert lines == TITLES
    assert [section.problems for section in sections] == [[]] * len(TITLES)
    by_title = {section.title: section for section in sections}
    assert list(by_title) == TITLES
    for title in TITLES[:4] + TITLES[6:]:
        assert list(by_title[title].numbers) == ['stock', 'fine']
    for title in TITLES[4:6]:
        assert list(by_title[title].numbers) == ['fine']
    for section in sections:
        json.dumps(section.numbers)
        assert section.caption.endswith('.')
        assert section.pictures
        for picture in section.pictures:
            assert picture.caption and isinstance(picture.image, Image.Image)

    stages = by_title['Effective receptive field'].numbers['fine']
    assert [stage['name'] for stage in stages] == [f'backbone.{k}' for k in range(4)] + [f'neck.{k}' for k in range(5)]
    assert all(stage['images'] == 2 for stage in stages)
    modules = by_title['Before and after the module'].numbers['fine']
    assert [module['name'] for module in modules] == ['neck.fine.0', 'neck.fine.1']
    maps = by_title['Grad-CAM'].numbers['fine']
    assert len(maps) == 1 and 0 < maps[0]['inside_by_chance'] < 1
    assert by_title['Side by side'].numbers['fine'][0]['false_negatives'] > 0


def test_two_segmentors_get_all_sections_except_modulation():
    cfg = recipes.stock('mmseg', 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py')
    cfg.model.decode_head.num_classes = 4
    ours = copy.deepcopy(cfg)
    ours.model.decode_head.type = 'mmxattn.CLASegformerHead'
    models = [recipes.build(own) for own in (cfg, ours)]
    batch = recipes.inputs(cfg, models[0], [(64, 96)])
    sections = visualize(models, [cfg, ours], [batch], names=['stock', 'CLA'])
    by_title = {section.title: section for section in sections}
    assert list(by_title) == [title for title in TITLES if title != 'FINE modulation map']
    assert not any(section.problems for section in sections)
    assert [stage['name'] for stage in by_title['Effective receptive field'].numbers['CLA']] == [
        'backbone.0', 'backbone.1', 'backbone.2', 'backbone.3', 'decode_head']
    assert [module['name'] for module in by_title['Before and after the module'].numbers['CLA']] == [
        'decode_head.blocks.0', 'decode_head.blocks.1']
    assert by_title['Side by side'].numbers['stock'][0]['pixels'] == 64 * 96


def test_failure_in_one_model_is_isolated(detectors):
    (stock, _), (cfg, _), batches = detectors
    sections = visualize([stock, nn.Linear(1, 1)], [cfg, cfg], batches, ['stock', 'no detector'], num_images=1,
                         num_erf_images=1)
    for section in sections[:4]:
        assert list(section.numbers) == ['stock'] and section.pictures
        assert len(section.problems) == 1 and section.problems[0].startswith('no detector: ')
    assert sections[4].problems == ['None of the models contains an attention module of mmxattn.']
    assert sections[-1].problems[0].startswith('all models: ')


def test_invalid_arguments_are_rejected(detectors):
    models, cfgs, batches = detectors
    with pytest.raises(ValueError, match=r"got 2 models, 2 cfgs and the names \['a', 'a'\]"):
        visualize(models, cfgs, batches, names=['a', 'a'])
    with pytest.raises(ValueError, match='the names .*retinanet_r18_fpn_1x_coco'):
        visualize(models[:1], cfgs[:1] * 2, batches)
    with pytest.raises(ValueError, match='1 models, 2 cfgs'):
        visualize(models[:1], cfgs, batches)
    with pytest.raises(ValueError, match='at least one image'):
        visualize(models, cfgs, [], names=['a', 'b'])


def test_problems_are_listed_once():
    def fail():
        raise KeyError('bbox')

    section = Section('title', 'caption')
    assert section.attempt('stock', fail) is None
    assert section.attempt('stock', fail) is None
    assert section.problems == ["stock: KeyError: 'bbox'"]
    assert section.attempt('stock', divmod, 7, 2) == (3, 1)


def test_class_meta_does_not_read_data():
    classes, palette = class_meta(recipes.stock('mmdet', 'retinanet/retinanet_r18_fpn_1x_coco.py'))
    assert len(classes) == len(palette) == 80 and classes[9] == 'traffic light'
    classes, palette = class_meta(recipes.stock('mmdet', 'pascal_voc/ssd300_voc0712.py'))  # wrapped in RepeatDataset
    assert classes[0] == 'aeroplane'
    assert class_meta(Config(dict(model=dict()))) == (None, None)
