"""YOLOX-S on VisDrone at 800x800: the COCO recipe with VisDrone, ten classes and 800 instead of 640 pixels."""
_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/yolox/yolox_s_8xb8-300e_coco.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
# The same folders as in configs/_base_/datasets/visdrone_detection.py.
data = __import__('mmengine').Config.fromfile('{{ fileDirname }}/../../../_base_/datasets/visdrone_detection.py')
data_root = data.data_root
img_scale = (800, 800)
model = dict(
    data_preprocessor=dict(batch_augments=[
        dict(type='BatchSyncRandomResize', random_size_range=(640, 960), size_divisor=32, interval=10)
    ]),
    bbox_head=dict(num_classes=10))
train_pipeline = [
    dict(type='Mosaic', img_scale=img_scale, pad_val=114.0),
    dict(type='RandomAffine', scaling_ratio_range=(0.1, 2), border=(-img_scale[0] // 2, -img_scale[1] // 2)),
    dict(type='MixUp', img_scale=img_scale, ratio_range=(0.8, 1.6), pad_val=114.0),
    dict(type='YOLOXHSVRandomAug'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Resize', scale=img_scale, keep_ratio=True),
    dict(type='Pad', pad_to_square=True, pad_val=dict(img=(114.0, 114.0, 114.0))),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=False),
    dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=img_scale, keep_ratio=True),
    dict(type='Pad', pad_to_square=True, pad_val=dict(img=(114.0, 114.0, 114.0))),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
]
train, val = data.train_dataloader.dataset, data.val_dataloader.dataset
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type=train.type,
            data_root=train.data_root,
            ann_file=train.ann_file,
            data_prefix=dict(img=train.data_prefix.img)),
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
del data, train, val
