_base_ = ['_base_/segformer_mit-b0_small.py', '_base_/digits_segmentation.py']
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
model = dict(data_preprocessor=dict(size=(160, 160)), decode_head=dict(num_classes=2))
