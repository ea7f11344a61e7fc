_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
# Finetunes the stock detector with CFSAM as the identity and a tenth of the learning rate.
model = dict(neck=[{{_base_.model.neck}}, dict(type='CFSAMNeck', in_channels=[256] * 5, tokens_per_part=1024,
                                               residual=True, zero_init=True)])
optim_wrapper = dict(optimizer=dict(lr=0.001))
load_from = ('https://download.openmmlab.com/mmdetection/v2.0/fcos/fcos_r50_caffe_fpn_gn-head_1x_coco/'
             'fcos_r50_caffe_fpn_gn-head_1x_coco-821213aa.pth')
