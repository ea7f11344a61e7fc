_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/pascal_voc/ssd300_voc0712.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
model = dict(
    neck=[{{_base_.model.neck}}, dict(type='CFAMNeck', in_channels=[512, 1024, 512, 256, 256, 256])],
    bbox_head=dict(in_channels=[256] * 6))
