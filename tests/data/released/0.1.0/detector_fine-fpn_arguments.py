_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/retinanet/retinanet_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)

model = dict(neck=dict(type='FINEFPN', kernel_sizes=(1, 2), zero_init=True, fine_cfg=dict(num_heads=8, ffn_ratio=2)))
load_from = 'work_dirs/retinanet/epoch_12.pth'
