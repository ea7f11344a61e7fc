_base_ = ['_base_/faster-rcnn_r50-w16_fpn64.py', '_base_/digits_detection.py']
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
