"""CamVid at 240x180 pixels, 11 classes: data, metric, schedule and runtime.

``data/camvid_small/`` contains ``img_dir/{train,test}/*.jpg`` and ``ann_dir/{train,test}/*.png``; label 11 is void.
"""
_base_ = './digits_segmentation.py'
data_root = 'data/camvid_small/'
metainfo = dict(classes=('Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree', 'SignSymbol', 'Fence', 'Car',
                         'Pedestrian', 'Bicyclist'))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs')
]
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        _delete_=True,
        type='BaseSegDataset',
        metainfo=metainfo,
        data_root=data_root,
        data_prefix=dict(img_path='img_dir/train', seg_map_path='ann_dir/train'),
        img_suffix='.jpg',
        ignore_index=11,
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=8,
    dataset=dict(
        _delete_=True,
        type='BaseSegDataset',
        metainfo=metainfo,
        data_root=data_root,
        data_prefix=dict(img_path='img_dir/test', seg_map_path='ann_dir/test'),
        img_suffix='.jpg',
        ignore_index=11,
        test_mode=True,
        pipeline={{_base_.val_dataloader.dataset.pipeline}}))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=30, val_interval=5)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True, begin=0, end=30)
]
val_evaluator = dict(ignore_index=11)
test_evaluator = val_evaluator
