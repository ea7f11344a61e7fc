_base_ = '../faster-rcnn_r50_fine-fpn_1x_coco.py'
model = dict(neck=dict(fine_cfg=dict(num_heads=32)))
