_base_ = './ssd300_1xb48-260e_voc0712.py'
model = dict(
    neck=[{{_base_.model.neck}}, dict(type='CFAMNeck', in_channels=[512, 1024, 512, 256, 256, 256])],
    bbox_head=dict(in_channels=[256] * 6))
