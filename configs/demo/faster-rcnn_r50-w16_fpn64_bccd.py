_base_ = ['_base_/faster-rcnn_r50-w16_fpn64.py', '_base_/bccd_detection.py']
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
model = dict(roi_head=dict(bbox_head=dict(num_classes=3)))
