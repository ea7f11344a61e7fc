_base_ = ['_base_/faster-rcnn_r18-w32_fpn64.py', '_base_/digits_detection.py']
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
