"""ExDark (github.com/cs-chan/Exclusively-Dark-Image-Dataset): 12 classes, 7,363 images, official split.

``mim run mmxattn prepare_dataset exdark --source FOLDER`` creates ``data/ExDark/`` with 3,000 training, 1,800
validation and 2,563 test images; ``mim test`` uses the latter. Boxes were annotated in MATLAB (Piotr's toolbox), which
ignores the EXIF orientation of images.
"""
_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/_base_/datasets/coco_detection.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
dataset_type = 'ExDarkDataset'
data_root = 'data/ExDark/'
train_pipeline = [
    dict(type='LoadImageFromFile', color_type='color_ignore_orientation'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile', color_type='color_ignore_orientation'),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
]
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='ExDark/'),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='ExDark/'),
        pipeline=test_pipeline))
test_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_test.json',
        data_prefix=dict(img='ExDark/'),
        pipeline=test_pipeline))
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = dict(ann_file=data_root + 'annotations/instances_test.json')
