_base_ = './faster-rcnn_r50_fpn_1xb2-1x_visdrone.py'
model = dict(backbone=dict(plugins=[dict(cfg=dict(type='CA'), position='after_conv2')]))
