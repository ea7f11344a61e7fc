"""The papers' data sets from their makers' layout to a score, through the recipes as they are."""
import json

import made_datasets as made
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend, register_backend
from mmengine.registry import DATASETS, METRICS, init_default_scope

import recipes
from mmxattn.datasets.converters import CONVERSIONS
from mmxattn.datasets.sources import ADE20K, CITYSCAPES, COCO, SOURCES, VOC, MissingData

RECIPES = dict(visdrone='visdrone', exdark='exdark', flir='flir-adas-v2', voc='voc0712')
FOLDERS = recipes.CONFIGS / 'scsa' / 'datasets'


def config(name):
    return Config.fromfile(FOLDERS / f'faster-rcnn_r50_fpn_1xb2-1x_{RECIPES[name]}.py')


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to run recipes in."""
    pytest.importorskip('mmdet')
    init_default_scope('mmdet')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def prepared(name, here):
    """A made data set, ready for the recipes that are run ``here``; the truth of its validation images."""
    truth = getattr(made, name)(here / 'source')
    for _ in CONVERSIONS[name](here / 'source', here / SOURCES[name].folder):
        pass
    return truth


def validation(name):
    """The data set that training validates on, through the recipe's pipeline: (file name, sample) each."""
    loader = config(name).val_dataloader
    dataset = DATASETS.build(loader.dataset)
    prefix = f'{loader.dataset.data_root}{loader.dataset.data_prefix.img}'
    files = [dataset.get_data_info(k)['img_path'].removeprefix(prefix) for k in range(len(dataset))]
    return dataset, list(zip(files, map(dataset.__getitem__, range(len(dataset)))))


@pytest.mark.parametrize('name', RECIPES)
def test_the_recipe_reads_boxes_and_classes(name, here):
    truth = prepared(name, here)
    dataset, samples = validation(name)
    classes = dataset.metainfo['classes']
    assert [file for file, _ in samples] == list(truth)
    for file, item in samples:
        sample = item['data_samples']
        assert item['inputs'].shape[0] == 3 and min(item['inputs'].shape[1:]) >= 500
        for instances, ignored in ((sample.gt_instances, False), (sample.ignored_instances, True)):
            found = {(classes[label], tuple(box)) for label, box in
                     zip(instances.labels.tolist(), instances.bboxes.tensor.tolist())}
            wanted = {(label, box) for key, box, flag in truth[file] if flag is ignored
                      for label in ([key] if key else classes)}
            assert found == wanted


@pytest.mark.parametrize('name', RECIPES)
def test_the_recipe_gives_training_samples(name, here):
    prepared(name, here)
    dataset = DATASETS.build(config(name).train_dataloader.dataset)
    content = json.loads((here / dataset.ann_file).read_text())
    assert 0 < len(dataset) <= len(content['images'])
    for k in range(len(dataset)):
        sample = dataset[k]['data_samples']
        own = [a for a in content['annotations'] if a['image_id'] == sample.img_id]
        areas = sorted(a['area'] * np.prod(sample.scale_factor) for a in own if not a['iscrowd'])
        boxes = sample.gt_instances.bboxes
        assert sorted(boxes.areas.tolist()) == pytest.approx(areas, rel=1e-3)
        assert len(sample.ignored_instances.bboxes) == sum(a['iscrowd'] for a in own)


def score(name, samples, extra):
    """COCO's AP, as the recipe's evaluator has it, of the truth itself and ``extra(sample)`` boxes and labels."""
    cfg = config(name)
    metric = METRICS.build(cfg.val_evaluator)
    metric.dataset_meta = DATASETS.build(cfg.val_dataloader.dataset).metainfo
    for _, item in samples:
        sample = item['data_samples']
        boxes, labels = extra(sample)
        boxes = torch.cat([sample.gt_instances.bboxes.tensor, boxes])
        labels = torch.cat([sample.gt_instances.labels, labels])
        # the truth comes last, so that anything wrong before it costs precision
        prediction = dict(bboxes=boxes, labels=labels, scores=torch.linspace(0.5, 0.9, len(labels)))
        metric.process({}, [dict(img_id=sample.img_id, ori_shape=sample.ori_shape, pred_instances=prediction)])
    return metric.evaluate(len(samples))['coco/bbox_mAP']


@pytest.mark.parametrize('name', RECIPES)
def test_a_perfect_prediction_scores_one_and_what_is_to_be_ignored_costs_nothing(name, here):
    prepared(name, here)
    _, samples = validation(name)

    def nothing(sample):
        return torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)

    def in_ignored(sample):
        return sample.ignored_instances.bboxes.tensor, sample.ignored_instances.labels

    def wrong(sample):
        return torch.tensor([[30., 40, 39, 49]]).repeat(len(sample.gt_instances), 1), sample.gt_instances.labels

    assert score(name, samples, nothing) == 1
    assert score(name, samples, in_ignored) == 1
    assert score(name, samples, wrong) < 0.6


def test_voc_is_what_mmdets_own_data_set_reads(here):
    prepared('voc', here)
    _, samples = validation('voc')
    stock = recipes.stock('mmdet', '_base_/datasets/voc0712.py')
    theirs = DATASETS.build(stock.val_dataloader.dataset)
    assert len(theirs) == len(samples)
    for k, (file, item) in enumerate(samples):
        info = theirs.get_data_info(k)
        assert info['img_path'].endswith(file)
        wanted = {(i['bbox_label'], tuple(map(float, i['bbox'])), i['ignore_flag']) for i in info['instances']}
        sample = item['data_samples']
        found = {(label, tuple(box), ignored) for ignored, instances in enumerate((sample.gt_instances,
                                                                                  sample.ignored_instances))
                 for label, box in zip(instances.labels.tolist(), instances.bboxes.tensor.tolist())}
        assert found == wanted
    ours = DATASETS.get('VOCCocoDataset').METAINFO['classes']
    assert ours == DATASETS.get('mmdet.VOCDataset').METAINFO['classes']


def test_mmseg_reads_cityscapes(here):
    pytest.importorskip('mmseg')
    init_default_scope('mmseg')
    prepared('cityscapes', here)
    cfg = recipes.stock('mmseg', '_base_/datasets/cityscapes.py')
    registry = __import__('mmseg.registry', fromlist=['DATASETS']).DATASETS
    from mmxattn.datasets.converters.cityscapes import CLASSES, LABELS
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
        dataset = registry.build(loader.dataset)
        assert len(dataset) == 1 and dataset.metainfo['classes'] == CLASSES
        labels = np.arange(64).repeat(32).reshape(32, 64) % 34
        for key, label in zip(LABELS, CLASSES):
            assert set(dataset[0]['gt_seg_map'][labels == key].tolist()) == {CLASSES.index(label)}
        assert (dataset[0]['gt_seg_map'][~np.isin(labels, list(LABELS))] == 255).all()


@pytest.mark.parametrize('name', RECIPES)
def test_a_recipe_without_its_data_says_where_to_get_it(name, here):
    cfg = config(name)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        with pytest.raises(MissingData) as told:
            DATASETS.build(loader.dataset)
        for words in (SOURCES[name].address, f'prepare_dataset {name}', loader.dataset.ann_file):
            assert words in str(told.value)


def test_images_that_are_not_there_are_told_too(here):
    prepared('visdrone', here)
    (here / 'data/VisDrone2019-DET/VisDrone2019-DET-val').unlink()
    with pytest.raises(MissingData, match='VisDrone2019-DET-val/images'):
        DATASETS.build(config('visdrone').val_dataloader.dataset)


def stock_dataset(package, name):
    init_default_scope(package)
    registry = __import__(f'{package}.registry', fromlist=['DATASETS']).DATASETS
    return registry, recipes.stock(package, f'_base_/datasets/{name}.py').val_dataloader.dataset


@pytest.mark.parametrize('package, name, source', [
    ('mmdet', 'voc0712', VOC), ('mmdet', 'coco_detection', COCO), ('mmdet', 'coco_instance', COCO),
    ('mmseg', 'cityscapes', CITYSCAPES), ('mmseg', 'ade20k', ADE20K), ('mmseg', 'ade20k_640x640', ADE20K)])
def test_the_toolboxes_own_data_sets_say_it_as_well(package, name, source, here):
    pytest.importorskip(package)
    registry, cfg = stock_dataset(package, name)
    with pytest.raises(MissingData, match=source.address):
        registry.build(cfg)


def test_cityscapes_without_train_ids_is_told(here):
    pytest.importorskip('mmseg')
    registry, cfg = stock_dataset('mmseg', 'cityscapes')
    made.cityscapes(here / 'data' / 'cityscapes')
    with pytest.raises(MissingData, match=r'gtFine/val/CITY/\*_gtFine_labelTrainIds.png is missing.*prepare_dataset'):
        registry.build(cfg)


def test_a_data_set_derived_from_a_toolboxs_own_is_left_alone(here):
    pytest.importorskip('mmseg')
    from mmseg.datasets import CityscapesDataset

    class Other(CityscapesDataset):
        pass

    with pytest.raises(FileNotFoundError) as told:
        Other(data_root='data/other', data_prefix=dict(img_path='images'))
    assert not isinstance(told.value, MissingData)


COCO_FILES = dict(type='mmdet.CocoDataset', data_root='data/coco/', ann_file='annotations/instances_val2017.json',
                  data_prefix=dict(img='val2017/'))
CAMVID_FILES = dict(type='mmseg.BaseSegDataset', data_root='data/camvid_small',
                    data_prefix=dict(img_path='img_dir/train'))


OTHERS = {
    'folder': dict(COCO_FILES, data_root='data/own/'),
    'folder named alike': dict(COCO_FILES, data_root='data/coco2/'),
    'list': dict(COCO_FILES, ann_file='annotations/own.json'),
    'images': dict(COCO_FILES, data_prefix=dict(img='../own/images')),
    'classes': dict(COCO_FILES, metainfo=dict(classes=('person', 'crane'))),
    'panoptic': dict(COCO_FILES, type='mmdet.CocoPanopticDataset', data_root='data/own/'),
    'derived': dict(COCO_FILES, type='mmdet.DeepFashionDataset'),
    'cells': dict(COCO_FILES, data_root='data/bccd', metainfo=dict(classes=('RBC', 'own'))),
    'cells elsewhere': dict(COCO_FILES, data_root='data/own', metainfo=dict(classes=('RBC', 'WBC', 'Platelets'))),
    "VOC's layout": dict(type='mmdet.VOCDataset', data_root='data/own', ann_file='own.txt',
                         data_prefix=dict(sub_data_root='own'), metainfo=dict(classes=('crane', ))),
    'streets elsewhere': dict(CAMVID_FILES, data_root='data/own', metainfo=dict(classes=('Sky', 'Road'))),
    'streets': dict(CAMVID_FILES, metainfo=dict(classes=('Sky', 'own'))),
    "in ADE20K's folder": dict(type='mmseg.PascalContextDataset', data_root='data/ade/ADEChallengeData2016',
                               ann_file='', data_prefix=dict(img_path='images/training')),
}


@pytest.mark.parametrize('other', OTHERS)
def test_data_of_ones_own_is_not_taken_for_anothers(other, here):
    pytest.importorskip(OTHERS[other]['type'].split('.')[0])
    with pytest.raises(FileNotFoundError) as told:
        DATASETS.build(OTHERS[other])
    assert not isinstance(told.value, MissingData)


@pytest.mark.parametrize('classes', [None, ('cat', 'dog')])
def test_coco_by_its_whole_path_or_with_a_part_of_its_classes_is_coco(classes, here):
    cfg = dict(COCO_FILES, data_root=str(here / 'data' / 'coco'), metainfo=classes and dict(classes=classes))
    with pytest.raises(MissingData, match=f'COCO 2017: {here}.*instances_val2017.json is missing'):
        DATASETS.build(cfg)


def test_cocos_images_that_are_not_there_are_told_too(here):
    made.text(here / 'data/coco/annotations/instances_val2017.json', json.dumps(dict(images=[], categories=[])))
    with pytest.raises(MissingData, match='data/coco/val2017/ is missing'):
        DATASETS.build(COCO_FILES)


@pytest.mark.parametrize('name', ['CocoDataset', 'VisDroneDataset'])
def test_files_of_another_backend_are_where_it_says(name, here):
    class Depot(LocalBackend):
        def get_local_path(self, filepath):
            return super().get_local_path(here / 'depot' / filepath)

    register_backend('depot', Depot, force=True)
    image = dict(id=1, file_name='a.jpg', height=9, width=9)
    made.text(here / 'depot/data/coco/annotations/instances_val2017.json',
              json.dumps(dict(images=[image], categories=[], annotations=[])))
    cfg = dict(COCO_FILES, type=name, backend_args=dict(backend='depot'), test_mode=True)
    assert len(DATASETS.build(cfg)) == 1
    with pytest.raises(MissingData):
        DATASETS.build(dict(cfg, backend_args=dict(backend='local')))


def test_remote_data_is_not_looked_for(here):
    assert SOURCES['visdrone'].check('s3://bucket/annotations.json') is None
