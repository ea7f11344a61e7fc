_base_ = './faster-rcnn_r50-w16_fpn64_digits.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
model = dict(backbone=dict(plugins=[dict(cfg=dict(type='SCSA'), position='after_conv2')]))
