"""Digit scenes as datasets of mmdet and mmseg."""
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image

import mmxattn.datasets
from mmxattn.datasets import digit_scenes
from mmxattn.datasets.digit_scenes import writer
from mmxattn.registry import DATASETS as MMXATTN_DATASETS


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return dict(num_train=4, num_test=3, cache=str(tmp_path_factory.mktemp('cache')))


def annotations(scenes, split):
    data = json.loads(Path(digit_scenes.write(**scenes), f'{split}.json').read_text())
    return {info['id']: [ann for ann in data['annotations'] if ann['image_id'] == info['id']]
            for info in data['images']}


@pytest.mark.parametrize('split, length', [('train', 4), ('test', 3)])
def test_detection_matches_annotation_file(scenes, split, length):
    pytest.importorskip('mmdet')
    init_default_scope('mmdet')
    load = dict(type='LoadAnnotations', with_bbox=True, with_mask=True, with_seg=True)
    pipeline = [dict(type='LoadImageFromFile'), load]
    dataset = MMXATTN_DATASETS.build(dict(type='DigitScenesDataset', split=split, scenes=scenes, pipeline=pipeline))
    assert len(dataset) == length and dataset.metainfo['classes'] == tuple('0123456789')
    expected = annotations(scenes, split)
    for item in map(dataset.__getitem__, range(length)):
        anns = expected[item['img_id']]
        boxes = np.array([ann['bbox'] for ann in anns], float)
        boxes[:, 2:] += boxes[:, :2]
        assert item['img'].shape == (160, 160, 3)
        assert np.array_equal(item['gt_bboxes'].numpy(), boxes)
        assert item['gt_bboxes_labels'].tolist() == [ann['category_id'] - 1 for ann in anns]
        assert item['gt_masks'].masks.sum((1, 2)).tolist() == [ann['area'] for ann in anns]
        labels = np.zeros((160, 160), int)
        for mask, label in zip(item['gt_masks'].masks, item['gt_bboxes_labels']):
            labels += mask * (label + 1)
        assert np.array_equal(item['gt_seg_map'], labels)


@pytest.mark.parametrize('split, length', [('train', 4), ('test', 3)])
def test_segmentation_matches_label_maps(scenes, split, length):
    pytest.importorskip('mmseg')
    init_default_scope('mmseg')
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    dataset = MMXATTN_DATASETS.build(dict(type='DigitScenesSegDataset', split=split, scenes=scenes, pipeline=pipeline))
    assert len(dataset) == length
    assert dataset.metainfo['classes'] == ('background', *'0123456789') and len(dataset.metainfo['palette']) == 11
    for index, item in enumerate(map(dataset.__getitem__, range(length))):
        folder = Path(digit_scenes.data_root(**scenes), split)
        image = np.array(Image.open(folder / f'images/{index:06d}.png'))
        assert np.array_equal(item['img'], image[..., ::-1])  # the toolboxes load BGR
        assert np.array_equal(item['gt_seg_map'], np.array(Image.open(folder / f'labels/{index:06d}.png')))
        assert 0 < (item['gt_seg_map'] > 0).sum() and item['gt_seg_map'].max() <= 10


def test_digits_can_be_merged_into_one_class(scenes):
    pytest.importorskip('mmseg')
    init_default_scope('mmseg')
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    cfg = dict(type='DigitScenesSegDataset', split='test', scenes=scenes, pipeline=pipeline)
    separate, merged = (MMXATTN_DATASETS.build(dict(cfg, merge_digits=merge)) for merge in (False, True))
    assert merged.metainfo['classes'] == ('background', 'digit') and len(merged.metainfo['palette']) == 2
    for eleven, two in zip(separate, merged):
        assert eleven['gt_seg_map'].max() > 1
        assert np.array_equal(two['gt_seg_map'], eleven['gt_seg_map'] > 0)


@pytest.mark.parametrize('name', ['DigitScenesDataset', 'DigitScenesSegDataset'])
@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
def test_registered_in_every_scope_and_generated_on_first_use(name, scope, tmp_path):
    pytest.importorskip(scope)
    registry = __import__(f'{scope}.registry', fromlist=['DATASETS']).DATASETS
    assert registry.get(name) is DATASETS.get(f'mmxattn.{name}') is getattr(mmxattn.datasets, name)
    dataset = registry.build(dict(type=name, split='test', scenes=dict(num_train=1, num_test=2, cache=tmp_path)))
    assert len(dataset) == 2 and Path(digit_scenes.data_root(1, 2, cache=tmp_path)).is_dir()


@pytest.mark.parametrize('name', ['DigitScenesDataset', 'DigitScenesSegDataset'])
@pytest.mark.parametrize('arguments, message', [(dict(split='val'), "split='val'"),
                                                (dict(split='train', scenes=dict(size=64)), 'size=64')])
def test_invalid_arguments_are_rejected_before_writing(name, arguments, message, monkeypatch):
    monkeypatch.setattr(writer, '_write_split', lambda *args: pytest.fail('written'))
    with pytest.raises(ValueError, match=message):
        getattr(mmxattn.datasets, name)(**arguments)


def test_ground_truth_scores_one_with_coco_metric(scenes):
    metrics = pytest.importorskip('mmdet.evaluation')
    metric = metrics.CocoMetric(ann_file=digit_scenes.write(**scenes) + '/train.json', metric=['bbox', 'segm'])
    metric.dataset_meta = dict(classes=tuple('0123456789'))
    init_default_scope('mmdet')
    load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
    dataset = MMXATTN_DATASETS.build(dict(type='DigitScenesDataset', split='train', scenes=scenes, pipeline=load))
    for item in dataset:
        prediction = dict(bboxes=item['gt_bboxes'].tensor, labels=torch.tensor(item['gt_bboxes_labels']),
                          scores=torch.ones(len(item['gt_bboxes'])), masks=torch.tensor(item['gt_masks'].masks).bool())
        metric.process({}, [dict(img_id=item['img_id'], ori_shape=(160, 160), pred_instances=prediction)])
    result = metric.evaluate(len(dataset))
    assert [result[f'coco/{kind}_mAP'] for kind in ('bbox', 'segm')] == [1, 1]
    assert result['coco/bbox_mAP_s'] == result['coco/bbox_mAP_m'] == 1
