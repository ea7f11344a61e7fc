_base_ = '../imagenet/resnet50-scsa_1xb128_in1k.py'
model = dict(backbone=dict(
    plugins=[dict(cfg=dict(type='SCSA', spatial=False), before=r'layer\d\.\d+\.conv3')]))
