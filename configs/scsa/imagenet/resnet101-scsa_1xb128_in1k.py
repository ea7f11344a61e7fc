_base_ = './resnet101_1xb128_in1k.py'
model = dict(backbone=dict(
    type='WithPlugins', host='ResNet',
    plugins=[dict(cfg=dict(type='SCSA'), before=r'layer\d\.\d+\.conv3')]))
