_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
# The counts of Table 7 imply a wider FFN and linear attention, as in the authors' released code.
model = dict(neck=dict(type='FINEFPN', fine_cfg=dict(ffn_ratio=4, attention='linear')))
