_base_ = './ssd300_1xb48-260e_voc0712.py'
model = dict(neck=[{{_base_.model.neck}}, dict(type='PerLevelNeck', in_channels=[512, 1024, 512, 256, 256, 256],
                                               layer=dict(type='MobileViTBlock', channels=184, depth=1))])
