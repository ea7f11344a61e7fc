"""Digit scenes for a detector: data, metric and optimizer, for two CPU cores."""
_base_ = './cpu_4e.py'
digit_scenes = __import__('mmxattn.datasets.digit_scenes', fromlist=['data_root']).data_root()

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(160, 160), keep_ratio=True),  # no change; sets the scale factor that mmdet needs
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,  # loading four images takes 4 ms; a worker would occupy a core
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='DigitScenesDataset', split='train', pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=20,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='DigitScenesDataset', split='test', test_mode=True, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='CocoMetric', ann_file=digit_scenes + '/test.json', metric='bbox')
test_evaluator = val_evaluator

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=3e-3, weight_decay=0.05))
auto_scale_lr = dict(enable=False, base_batch_size=4)

default_scope = 'mmdet'
default_hooks = dict(visualization=dict(type='DetVisualizationHook'))
visualizer = dict(type='DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
