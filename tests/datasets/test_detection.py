"""Converted datasets for mmdet: from the official layout to a score, through the recipes."""
import json

import numpy as np
import pytest
import synthetic_datasets as synthetic
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, METRICS, init_default_scope

import recipes
from mmxattn.datasets.converters import CONVERTERS
from mmxattn.datasets.sources import SOURCES, DatasetNotFoundError

pytest.importorskip('mmdet')
RECIPES = dict(visdrone='visdrone', exdark='exdark', flir='flir-adas-v2', voc='voc0712')


def config(name):
    return Config.fromfile(recipes.CONFIGS / 'scsa' / 'datasets' / f'faster-rcnn_r50_fpn_1xb2-1x_{RECIPES[name]}.py')


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """Working directory of the recipes."""
    init_default_scope('mmdet')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def convert(name, workdir):
    """Create and convert a dataset for the recipes; return the ground truth of its validation images."""
    ground_truth = getattr(synthetic, name)(workdir / 'source')
    list(CONVERTERS[name](workdir / 'source', workdir / SOURCES[name].folder))
    return ground_truth


def validation_samples(name):
    """Validation dataset of the recipe, and (file name, sample) of each image."""
    loader = config(name).val_dataloader
    dataset = DATASETS.build(loader.dataset)
    prefix = f'{loader.dataset.data_root}{loader.dataset.data_prefix.img}'
    files = [dataset.get_data_info(k)['img_path'].removeprefix(prefix) for k in range(len(dataset))]
    return dataset, list(zip(files, map(dataset.__getitem__, range(len(dataset)))))


@pytest.mark.parametrize('name', RECIPES)
def test_recipe_reads_boxes_and_classes(name, workdir):
    ground_truth = convert(name, workdir)
    dataset, samples = validation_samples(name)
    classes = dataset.metainfo['classes']
    assert [file for file, _ in samples] == list(ground_truth)
    for file, item in samples:
        sample = item['data_samples']
        assert item['inputs'].shape[0] == 3 and min(item['inputs'].shape[1:]) >= 500
        for instances, ignored in ((sample.gt_instances, False), (sample.ignored_instances, True)):
            found = {(classes[label], tuple(box)) for label, box in
                     zip(instances.labels.tolist(), instances.bboxes.tensor.tolist())}
            expected = {(label, box) for key, box, flag in ground_truth[file] if flag is ignored
                        for label in ([key] if key else classes)}
            assert found == expected


@pytest.mark.parametrize('name', RECIPES)
def test_recipe_loads_training_samples(name, workdir):
    convert(name, workdir)
    dataset = DATASETS.build(config(name).train_dataloader.dataset)
    content = json.loads((workdir / dataset.ann_file).read_text())
    assert 0 < len(dataset) <= len(content['images'])
    for item in dataset:
        sample = item['data_samples']
        annotations = [a for a in content['annotations'] if a['image_id'] == sample.img_id]
        areas = sorted(a['area'] * np.prod(sample.scale_factor) for a in annotations if not a['iscrowd'])
        assert sorted(sample.gt_instances.bboxes.areas.tolist()) == pytest.approx(areas, rel=1e-3)
        assert len(sample.ignored_instances.bboxes) == sum(a['iscrowd'] for a in annotations)


def score(name, samples, extra):
    """AP of the recipe's evaluator for the ground truth plus the boxes and labels of ``extra(sample)``."""
    cfg = config(name)
    metric = METRICS.build(cfg.val_evaluator)
    metric.dataset_meta = DATASETS.build(cfg.val_dataloader.dataset).metainfo
    for _, item in samples:
        sample = item['data_samples']
        boxes, labels = extra(sample)
        boxes = torch.cat([sample.gt_instances.bboxes.tensor, boxes])
        labels = torch.cat([sample.gt_instances.labels, labels])
        # The ground truth has the lowest scores, so any false positive costs precision.
        prediction = dict(bboxes=boxes, labels=labels, scores=torch.linspace(0.5, 0.9, len(labels)))
        metric.process({}, [dict(img_id=sample.img_id, ori_shape=sample.ori_shape, pred_instances=prediction)])
    return metric.evaluate(len(samples))['coco/bbox_mAP']


@pytest.mark.parametrize('name', RECIPES)
def test_ground_truth_scores_one_and_ignored_boxes_cost_nothing(name, workdir):
    convert(name, workdir)
    _, samples = validation_samples(name)

    def nothing(sample):
        return torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)

    def in_ignored_regions(sample):
        return sample.ignored_instances.bboxes.tensor, sample.ignored_instances.labels

    def false_positives(sample):
        return torch.tensor([[30., 40, 39, 49]]).repeat(len(sample.gt_instances), 1), sample.gt_instances.labels

    assert score(name, samples, nothing) == 1
    assert score(name, samples, in_ignored_regions) == 1
    assert score(name, samples, false_positives) < 0.6


def test_voc_matches_mmdets_voc_dataset(workdir):
    convert('voc', workdir)
    dataset, samples = validation_samples('voc')
    stock = DATASETS.build(recipes.stock('mmdet', '_base_/datasets/voc0712.py').val_dataloader.dataset)
    assert dataset.METAINFO['classes'] == stock.METAINFO['classes'] and len(stock) == len(samples)
    for k, (file, item) in enumerate(samples):
        info = stock.get_data_info(k)
        assert info['img_path'].endswith(file)
        expected = {(i['bbox_label'], tuple(map(float, i['bbox'])), i['ignore_flag']) for i in info['instances']}
        sample = item['data_samples']
        found = {(label, tuple(box), ignored) for ignored, instances in enumerate((sample.gt_instances,
                                                                                  sample.ignored_instances))
                 for label, box in zip(instances.labels.tolist(), instances.bboxes.tensor.tolist())}
        assert found == expected


def test_mmseg_reads_converted_cityscapes(workdir):
    pytest.importorskip('mmseg')
    from mmseg.registry import DATASETS as MMSEG_DATASETS

    from mmxattn.datasets.converters.cityscapes import CLASSES, LABELS
    init_default_scope('mmseg')
    convert('cityscapes', workdir)
    cfg = recipes.stock('mmseg', '_base_/datasets/cityscapes.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
        dataset = MMSEG_DATASETS.build(loader.dataset)
        assert len(dataset) == 1 and dataset.metainfo['classes'] == CLASSES
        labels = np.arange(64).repeat(32).reshape(32, 64) % 34
        for key, label in LABELS.items():
            assert set(dataset[0]['gt_seg_map'][labels == key].tolist()) == {CLASSES.index(label)}
        assert (dataset[0]['gt_seg_map'][~np.isin(labels, list(LABELS))] == 255).all()


def test_missing_images_report_the_download(workdir):
    convert('visdrone', workdir)
    (workdir / 'data/VisDrone2019-DET/VisDrone2019-DET-val').unlink()
    with pytest.raises(DatasetNotFoundError, match='VisDrone2019-DET-val/images'):
        DATASETS.build(config('visdrone').val_dataloader.dataset)
