_base_ = __import__('mmseg').__path__[0] + '/.mim/configs/upernet/upernet_r50_4xb4-80k_ade20k-512x512.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
model = dict(backbone=dict(plugins=[dict(cfg=dict(type='SE'), position='after_conv3')]))
