_base_ = './faster-rcnn_r18-w32_fpn64_digits.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
model = dict(neck=dict(type='FINEFPN'))
