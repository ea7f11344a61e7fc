_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
# Finetunes the stock detector with CFSAM as the identity and a tenth of the learning rate.
model = dict(neck=[{{_base_.model.neck}}, dict(type='CFSAMNeck', in_channels=[256] * 5, tokens_per_part=1024,
                                               residual=True, zero_init=True)])
optim_wrapper = dict(optimizer=dict(lr=0.002))
load_from = ('https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/mask_rcnn_r50_fpn_1x_coco/'
             'mask_rcnn_r50_fpn_1x_coco_20200205-d4b0c5d6.pth')
