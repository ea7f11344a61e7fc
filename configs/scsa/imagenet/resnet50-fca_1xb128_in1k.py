_base_ = './resnet50_1xb128_in1k.py'
model = dict(backbone=dict(
    type='WithPlugins', host='ResNet',
    plugins=[dict(cfg=dict(type='FCA'), after=r'layer\d\.\d+\.bn3')]))
