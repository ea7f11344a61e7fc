_base_ = './ssd300_cfsam_voc0712.py'
# The paper's schedule (Sec. 4.1): batch size 48, SGD 1e-3, 260 epochs, steps at 130 and 220; stock warmup.
train_dataloader = dict(batch_size=48, dataset=dict(times=1))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=260, val_interval=10)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=260, milestones=[130, 220], gamma=0.1)
]
auto_scale_lr = dict(base_batch_size=48)
