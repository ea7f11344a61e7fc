"""SegFormer-B0 for small images, from scratch: a head of 64 channels, and BN in place of SyncBN."""
_base_ = __import__('mmseg').__path__[0] + '/.mim/configs/_base_/models/segformer_mit-b0.py'
model = dict(
    data_preprocessor=dict(size=(160, 160)),
    decode_head=dict(channels=64, num_classes=11, norm_cfg=dict(type='BN')))
