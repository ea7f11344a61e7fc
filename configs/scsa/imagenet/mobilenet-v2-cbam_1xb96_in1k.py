_base_ = './mobilenet-v2_1xb96_in1k.py'
model = dict(backbone=dict(
    type='WithPlugins', host='MobileNetV2',
    plugins=[dict(cfg=dict(type='CBAM'), after=r'layer1\.0\.conv\.0|layer[2-7]\.\d+\.conv\.1')]))
