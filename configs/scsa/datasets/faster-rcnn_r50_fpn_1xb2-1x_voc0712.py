_base_ = ['../../_base_/datasets/voc0712_detection.py', './_base_/faster-rcnn_r50_fpn_1xb2-1x.py']
model = dict(roi_head=dict(bbox_head=dict(num_classes=20)))
