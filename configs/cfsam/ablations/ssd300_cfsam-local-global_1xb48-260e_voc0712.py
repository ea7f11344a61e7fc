_base_ = '../baselines/ssd300_1xb48-260e_voc0712.py'
model = dict(neck=[{{_base_.model.neck}}, dict(type='CFSAMNeck', in_channels=[512, 1024, 512, 256, 256, 256],
                                               stages='local+global')])
