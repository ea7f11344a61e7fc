_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/ssd/ssd300_coco.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)

model = dict(neck=[{{_base_.model.neck}}, dict(type='CFSAMNeck', in_channels=[512, 1024, 512, 256, 256, 256])])
