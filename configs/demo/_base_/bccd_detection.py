"""BCCD (blood cells, github.com/Shenggan/BCCD_Dataset) at half size: data, metric, schedule and runtime.

``data/bccd/`` contains ``BCCD/JPEGImages/*.jpg`` and the COCO files ``coco/{train,test}.json``.
"""
_base_ = './digits_detection.py'
data_root = 'data/bccd/'
metainfo = dict(classes=('RBC', 'WBC', 'Platelets'))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(320, 240), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5, direction=['horizontal', 'vertical']),
    dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(320, 240), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
]
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        _delete_=True,
        type='CocoDataset',
        metainfo=metainfo,
        data_root=data_root,
        ann_file='coco/train.json',
        data_prefix=dict(img='BCCD/JPEGImages/'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=8,
    dataset=dict(
        _delete_=True,
        type='CocoDataset',
        metainfo=metainfo,
        data_root=data_root,
        ann_file='coco/test.json',
        data_prefix=dict(img='BCCD/JPEGImages/'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=10, val_interval=2)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True, begin=0, end=10)
]
# One class has 85% of the boxes, so compare the AP per class.
val_evaluator = dict(ann_file=data_root + 'coco/test.json', classwise=True)
test_evaluator = val_evaluator
