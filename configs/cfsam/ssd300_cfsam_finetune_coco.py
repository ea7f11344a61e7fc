_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/ssd/ssd300_coco.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
# Finetunes the stock detector with CFSAM as the identity and a tenth of the learning rate.
model = dict(neck=[{{_base_.model.neck}}, dict(type='CFSAMNeck', in_channels=[512, 1024, 512, 256, 256, 256],
                                               residual=True, zero_init=True)])
optim_wrapper = dict(optimizer=dict(lr=2e-4))
load_from = 'https://download.openmmlab.com/mmdetection/v2.0/ssd/ssd300_coco/ssd300_coco_20210803_015428-d231a06e.pth'
