_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
model = dict(backbone=dict(plugins=[dict(cfg=dict(type='CA'), position='after_conv2')]))
