_base_ = __import__('mmseg').__path__[0] + '/.mim/configs/upernet/upernet_r101_4xb4-80k_ade20k-512x512.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
model = dict(backbone=dict(plugins=[dict(cfg=dict(type='ECA'), position='after_conv3')]))
