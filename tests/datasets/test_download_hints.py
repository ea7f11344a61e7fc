"""Missing datasets report where to download them; custom data is left alone.

tests/configs/test_missing_data.py covers every recipe.
"""
import json

import pytest
import synthetic_datasets as synthetic
from mmengine.fileio import LocalBackend, register_backend
from mmengine.registry import DATASETS, init_default_scope

import mmxattn  # noqa: F401  registers the datasets
import recipes
from mmxattn.datasets.sources import ADE20K, CITYSCAPES, COCO, SOURCES, VOC, DatasetNotFoundError

COCO_VAL = dict(type='mmdet.CocoDataset', data_root='data/coco/', ann_file='annotations/instances_val2017.json',
                data_prefix=dict(img='val2017/'))
CAMVID_TRAIN = dict(type='mmseg.BaseSegDataset', data_root='data/camvid_small',
                    data_prefix=dict(img_path='img_dir/train'))


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """Working directory of the recipes."""
    pytest.importorskip('mmdet')
    init_default_scope('mmdet')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stock_dataset(package, name):
    pytest.importorskip(package)
    init_default_scope(package)
    registry = __import__(f'{package}.registry', fromlist=['DATASETS']).DATASETS
    return registry, recipes.stock(package, f'_base_/datasets/{name}.py').val_dataloader.dataset


@pytest.mark.parametrize('package, name, source', [
    ('mmdet', 'voc0712', VOC), ('mmdet', 'coco_detection', COCO), ('mmdet', 'coco_instance', COCO),
    ('mmseg', 'cityscapes', CITYSCAPES), ('mmseg', 'ade20k', ADE20K), ('mmseg', 'ade20k_640x640', ADE20K)])
def test_stock_datasets_report_the_download(package, name, source, workdir):
    registry, cfg = stock_dataset(package, name)
    with pytest.raises(DatasetNotFoundError, match=source.url):
        registry.build(cfg)


def test_cityscapes_without_train_ids_reports_prepare_dataset(workdir):
    registry, cfg = stock_dataset('mmseg', 'cityscapes')
    synthetic.cityscapes(workdir / 'data' / 'cityscapes')
    with pytest.raises(DatasetNotFoundError,
                       match=r'gtFine/val/CITY/\*_gtFine_labelTrainIds.png does not exist.*prepare_dataset'):
        registry.build(cfg)


def test_subclass_is_left_alone(workdir):
    pytest.importorskip('mmseg')
    from mmseg.datasets import CityscapesDataset

    class CustomDataset(CityscapesDataset):
        pass

    with pytest.raises(FileNotFoundError) as error:
        CustomDataset(data_root='data/custom', data_prefix=dict(img_path='images'))
    assert not isinstance(error.value, DatasetNotFoundError)


CUSTOM_DATA = {
    'folder': dict(COCO_VAL, data_root='data/custom/'),
    'folder with the same prefix': dict(COCO_VAL, data_root='data/coco2/'),
    'annotation file': dict(COCO_VAL, ann_file='annotations/custom.json'),
    'image folder': dict(COCO_VAL, data_prefix=dict(img='../custom/images')),
    'classes': dict(COCO_VAL, metainfo=dict(classes=('person', 'crane'))),
    'panoptic': dict(COCO_VAL, type='mmdet.CocoPanopticDataset', data_root='data/custom/'),
    'subclass': dict(COCO_VAL, type='mmdet.DeepFashionDataset'),
    'BCCD, classes': dict(COCO_VAL, data_root='data/bccd', metainfo=dict(classes=('RBC', 'custom'))),
    'BCCD, folder': dict(COCO_VAL, data_root='data/custom', metainfo=dict(classes=('RBC', 'WBC', 'Platelets'))),
    'VOC layout': dict(type='mmdet.VOCDataset', data_root='data/custom', ann_file='custom.txt',
                       data_prefix=dict(sub_data_root='custom'), metainfo=dict(classes=('crane', ))),
    'CamVid, folder': dict(CAMVID_TRAIN, data_root='data/custom', metainfo=dict(classes=('Sky', 'Road'))),
    'CamVid, classes': dict(CAMVID_TRAIN, metainfo=dict(classes=('Sky', 'custom'))),
    'other dataset in the ADE20K folder': dict(
        type='mmseg.PascalContextDataset', data_root='data/ade/ADEChallengeData2016', ann_file='',
        data_prefix=dict(img_path='images/training')),
}


@pytest.mark.parametrize('custom', CUSTOM_DATA)
def test_custom_data_is_left_alone(custom, workdir):
    pytest.importorskip(CUSTOM_DATA[custom]['type'].split('.')[0])
    with pytest.raises(FileNotFoundError) as error:
        DATASETS.build(CUSTOM_DATA[custom])
    assert not isinstance(error.value, DatasetNotFoundError)


@pytest.mark.parametrize('classes', [None, ('cat', 'dog')])
def test_coco_is_recognized_by_absolute_path_and_with_a_subset_of_classes(classes, workdir):
    cfg = dict(COCO_VAL, data_root=str(workdir / 'data' / 'coco'), metainfo=classes and dict(classes=classes))
    with pytest.raises(DatasetNotFoundError, match=f'COCO 2017: {workdir}.*instances_val2017.json does not exist'):
        DATASETS.build(cfg)


def test_missing_coco_images_report_the_download(workdir):
    synthetic.text(workdir / 'data/coco/annotations/instances_val2017.json', json.dumps(dict(images=[], categories=[])))
    with pytest.raises(DatasetNotFoundError, match='data/coco/val2017/ does not exist'):
        DATASETS.build(COCO_VAL)


@pytest.mark.parametrize('name', ['CocoDataset', 'VisDroneDataset'])
def test_other_storage_backends_are_not_checked(name, workdir):
    class Bucket(LocalBackend):
        def get_local_path(self, filepath):
            return super().get_local_path(workdir / 'bucket' / filepath)

    register_backend('bucket', Bucket, force=True)
    image = dict(id=1, file_name='a.jpg', height=9, width=9)
    synthetic.text(workdir / 'bucket/data/coco/annotations/instances_val2017.json',
                   json.dumps(dict(images=[image], categories=[], annotations=[])))
    cfg = dict(COCO_VAL, type=name, backend_args=dict(backend='bucket'), test_mode=True)
    assert len(DATASETS.build(cfg)) == 1
    with pytest.raises(DatasetNotFoundError):
        DATASETS.build(dict(cfg, backend_args=dict(backend='local')))


def test_only_local_paths_are_checked(tmp_path):
    SOURCES['visdrone'].check('s3://bucket/annotations.json', tmp_path)
    with pytest.raises(DatasetNotFoundError, match='VisDrone2019-DET: .*/absent does not exist'):
        SOURCES['visdrone'].check('s3://bucket/annotations.json', tmp_path / 'absent')
