_base_ = ['_base_/faster-rcnn_r50-w16_fpn64.py', '_base_/bccd_detection.py']
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
model = dict(
    rpn_head=dict(anchor_generator=dict(ratios=[1.0])),  # cells are round
    roi_head=dict(bbox_head=dict(num_classes=3)))
