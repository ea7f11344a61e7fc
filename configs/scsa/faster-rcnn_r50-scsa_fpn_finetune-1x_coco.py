_base_ = './faster-rcnn_r50-scsa_fpn_1x_coco.py'
# Finetunes the stock detector with SCSA as the identity and a tenth of the learning rate.
model = dict(backbone=dict(plugins=[dict(cfg=dict(type='SCSA', zero_init=True), position='after_conv2')]))
optim_wrapper = dict(optimizer=dict(lr=0.002))
load_from = ('https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/faster_rcnn_r50_fpn_1x_coco/'
             'faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth')
