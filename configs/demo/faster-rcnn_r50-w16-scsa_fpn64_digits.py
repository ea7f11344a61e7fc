_base_ = './faster-rcnn_r50-w16_fpn64_digits.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
# Start as the identity: random gates of about 0.5 would slow down the first epochs.
model = dict(backbone=dict(plugins=[dict(cfg=dict(type='SCSA', zero_init=True), position='after_conv2')]))
