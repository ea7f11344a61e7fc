"""RTMDet-S on VisDrone at 800x800: the COCO recipe with VisDrone, ten classes and 800 instead of 640 pixels."""
_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/rtmdet/rtmdet_s_8xb32-300e_coco.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
# The same folders as in configs/_base_/datasets/visdrone_detection.py.
data = __import__('mmengine').Config.fromfile('{{ fileDirname }}/../../../_base_/datasets/visdrone_detection.py')
data_root = data.data_root
model = dict(bbox_head=dict(num_classes=10))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='CachedMosaic', img_scale=(800, 800), pad_val=114.0),
    dict(type='RandomResize', scale=(1600, 1600), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(800, 800)),
    dict(type='YOLOXHSVRandomAug'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Pad', size=(800, 800), pad_val=dict(img=(114, 114, 114))),
    dict(
        type='CachedMixUp',
        img_scale=(800, 800),
        ratio_range=(1.0, 1.0),
        max_cached_images=20,
        pad_val=(114, 114, 114)),
    dict(type='PackDetInputs')
]
train_pipeline_stage2 = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=(800, 800), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(800, 800)),
    dict(type='YOLOXHSVRandomAug'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Pad', size=(800, 800), pad_val=dict(img=(114, 114, 114))),
    dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(800, 800), keep_ratio=True),
    dict(type='Pad', size=(800, 800), pad_val=dict(img=(114, 114, 114))),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
]
train, val = data.train_dataloader.dataset, data.val_dataloader.dataset
train_dataloader = dict(
    dataset=dict(
        type=train.type,
        data_root=train.data_root,
        ann_file=train.ann_file,
        data_prefix=dict(img=train.data_prefix.img),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=val.type,
        data_root=val.data_root,
        ann_file=val.ann_file,
        data_prefix=dict(img=val.data_prefix.img),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data.val_evaluator.ann_file)
test_evaluator = val_evaluator
custom_hooks = [
    dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.0002, update_buffers=True, priority=49),
    dict(type='PipelineSwitchHook', switch_epoch=280, switch_pipeline=train_pipeline_stage2)
]
del data, train, val
