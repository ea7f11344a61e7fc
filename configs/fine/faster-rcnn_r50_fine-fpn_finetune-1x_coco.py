_base_ = './faster-rcnn_r50_fine-fpn_1x_coco.py'
# Finetunes the stock detector with FINE as the identity and a tenth of the learning rate.
model = dict(neck=dict(zero_init=True))
optim_wrapper = dict(optimizer=dict(lr=0.002))
load_from = ('https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/faster_rcnn_r50_fpn_1x_coco/'
             'faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth')
