_base_ = '../faster-rcnn_r50_fine-fpn_1x_coco.py'
model = dict(neck=dict(kernel_sizes=(1, 1)))
