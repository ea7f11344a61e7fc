"""Faster R-CNN with the training settings of SCSA's paper (Sec. 4.1): one GPU with two images, 12 epochs. No data."""
_base_ = [
    __import__('mmdet').__path__[0] + '/.mim/configs/_base_/models/faster-rcnn_r50_fpn.py',
    __import__('mmdet').__path__[0] + '/.mim/configs/_base_/schedules/schedule_1x.py',
    __import__('mmdet').__path__[0] + '/.mim/configs/_base_/default_runtime.py'
]
optim_wrapper = dict(optimizer=dict(lr=0.0025))
auto_scale_lr = dict(base_batch_size=2)
