"""Faster R-CNN for small images, from scratch: ResNet-18 of base width 32, FPN with 64 channels.

Differences from mmdet's faster-rcnn_r50_fpn.py: narrow layers, dense anchors from 8 pixels in the shape of a digit, and
fewer proposals. For training from scratch in minutes: batch norm in neck and head, half of the sampled boxes positive,
class-agnostic box regression, and twice the weight for the classification loss.
"""
_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/_base_/models/faster-rcnn_r50_fpn.py'
norm_cfg = dict(type='BN')
model = dict(
    backbone=dict(depth=18, base_channels=32, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64, norm_cfg=norm_cfg),
    rpn_head=dict(in_channels=64, feat_channels=64, anchor_generator=dict(scales=[2, 3, 4], ratios=[1.4])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, finest_scale=28),
        bbox_head=dict(
            type='ConvFCBBoxHead',
            num_shared_convs=1,
            num_shared_fcs=1,
            in_channels=64,
            conv_out_channels=64,
            fc_out_channels=256,
            norm_cfg=norm_cfg,
            num_classes=10,
            reg_class_agnostic=True,
            loss_cls=dict(loss_weight=2.0))),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=200, max_per_img=200),
        rcnn=dict(sampler=dict(num=64, pos_fraction=0.5))),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=100), rcnn=dict(max_per_img=50)))
