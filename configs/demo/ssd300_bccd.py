_base_ = [__import__('mmdet').__path__[0] + '/.mim/configs/_base_/models/ssd300.py', '_base_/bccd_ssd300.py']
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
model = dict(backbone=dict(init_cfg=None), bbox_head=dict(num_classes=3))
