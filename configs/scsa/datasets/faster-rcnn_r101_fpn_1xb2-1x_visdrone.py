_base_ = './faster-rcnn_r50_fpn_1xb2-1x_visdrone.py'
model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
