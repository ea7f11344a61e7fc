_base_ = ['_base_/segformer_mit-b0_small.py', '_base_/digits_segmentation.py']
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
