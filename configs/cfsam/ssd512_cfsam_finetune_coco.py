_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/ssd/ssd512_coco.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
# Finetunes the stock detector with CFSAM as the identity and a tenth of the learning rate.
model = dict(neck=[{{_base_.model.neck}}, dict(type='CFSAMNeck', in_channels=[512, 1024, 512, 256, 256, 256, 256],
                                               tokens_per_part=1024, residual=True, zero_init=True)])
optim_wrapper = dict(optimizer=dict(lr=2e-4))
load_from = 'https://download.openmmlab.com/mmdetection/v2.0/ssd/ssd512_coco/ssd512_coco_20210803_022849-0a47a1ca.pth'
