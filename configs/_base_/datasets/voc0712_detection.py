"""Pascal VOC with COCO's AP: 20 classes, trainval of 2007 and 2012 (16,551 images), test of 2007 (4,952 images).

``mim run mmxattn prepare_dataset voc --source FOLDER`` creates ``data/VOCdevkit/``. Images are resized as in mmdet's
voc0712.py. Difficult objects are ignored.
"""
_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/_base_/datasets/coco_detection.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
dataset_type = 'VOCCocoDataset'
data_root = 'data/VOCdevkit/'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(1000, 600), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1000, 600), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
]
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/voc0712_trainval.json',
        data_prefix=dict(img=''),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/voc07_test.json',
        data_prefix=dict(img=''),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/voc07_test.json')
test_evaluator = val_evaluator
