_base_ = __import__('mmseg').__path__[0] + '/.mim/configs/sem_fpn/fpn_r50_4xb2-80k_cityscapes-512x1024.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
# The counts of Table 7 imply a wider FFN and linear attention, as in the authors' released code.
model = dict(neck=dict(type='FINEFPN', fine_cfg=dict(ffn_ratio=4, attention='linear')))
