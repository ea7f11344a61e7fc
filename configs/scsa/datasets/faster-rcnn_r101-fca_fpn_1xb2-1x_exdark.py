_base_ = './faster-rcnn_r101_fpn_1xb2-1x_exdark.py'
model = dict(backbone=dict(plugins=[dict(cfg=dict(type='FCA'), position='after_conv3')]))
