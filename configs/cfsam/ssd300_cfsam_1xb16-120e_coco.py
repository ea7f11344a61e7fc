_base_ = './ssd300_cfsam_coco.py'
# The paper's schedule: batch size 16, SGD 1e-3, 120 epochs, steps scaled from 260 epochs.
train_dataloader = dict(batch_size=16, dataset=dict(times=1))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=120, val_interval=10)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=120, milestones=[60, 102], gamma=0.1)
]
auto_scale_lr = dict(base_batch_size=16)
