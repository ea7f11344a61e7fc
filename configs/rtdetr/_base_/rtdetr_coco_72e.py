# Training of RT-DETR (version 1): batch size 16, 72 epochs, AdamW, EMA, multi-scale images.
_base_ = [
    __import__('mmdet').__path__[0] + '/.mim/configs/_base_/datasets/coco_detection.py',
    __import__('mmdet').__path__[0] + '/.mim/configs/_base_/default_runtime.py'
]
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PhotoMetricDistortion'),
    dict(type='Expand', mean=[0, 0, 0], ratio_range=(1, 4), prob=0.5),
    dict(type='RandomApply', transforms=[dict(type='MinIoURandomCrop')], prob=0.8),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Resize', scale=(640, 640), keep_ratio=False),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=False),
    dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='Resize', scale=(640, 640), keep_ratio=False),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
]
train_dataloader = dict(
    batch_sampler=None,
    dataset=dict(filter_cfg=dict(filter_empty_gt=False, _delete_=True), pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=72, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# A tenth of the learning rate for the backbone; no weight decay for norms and biases. Norms of the backbone are listed
# by name, because the entry for the backbone would otherwise apply to them.
backbone_norms = dict(lr_mult=0.1, decay_mult=0.)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
    paramwise_cfg=dict(
        norm_decay_mult=0.,
        bias_decay_mult=0.,
        custom_keys={
            'backbone': dict(lr_mult=0.1),
            'in_proj_bias': dict(decay_mult=0.),  # bias of attention
            **{f'backbone.stem.{i}.': backbone_norms for i in (1, 4, 7)},
            **{f'backbone.layer{stage}.{block}.{norm}.': backbone_norms for stage in (1, 2, 3, 4) for block in range(6)
               for norm in ('bn1', 'bn2', 'bn3', 'downsample.2')},
        }))
param_scheduler = [dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=2000)]
custom_hooks = [
    dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=1e-4, gamma=2000, update_buffers=True, priority=49)
]
sync_bn = 'torch'  # two images per GPU are too few for BN
auto_scale_lr = dict(base_batch_size=16)
