_base_ = './repvgg-A0_1xb128_in1k.py'
model = dict(backbone=dict(
    type='WithPlugins', host='RepVGG',
    plugins=[dict(cfg=dict(type='SCSA'), before=r'stage_\d\.\d+\.act')]))
