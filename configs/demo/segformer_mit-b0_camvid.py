_base_ = ['_base_/segformer_mit-b0_small.py', '_base_/camvid_segmentation.py']
custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
model = dict(
    data_preprocessor=dict(size=(180, 240), seg_pad_val=11), decode_head=dict(num_classes=11, ignore_index=11))
