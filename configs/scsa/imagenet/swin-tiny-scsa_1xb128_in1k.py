_base_ = './swin-tiny_1xb128_in1k.py'
model = dict(backbone=dict(
    type='WithPlugins', host='SwinTransformer',
    plugins=[dict(cfg=dict(type='SCSA'), after=r'stages\.\d\.blocks\.\d\.attn')]))
