"""SegFormer-B0 for small images and short training: a head with 64 channels, no dropout, BN instead of SyncBN."""
_base_ = __import__('mmseg').__path__[0] + '/.mim/configs/_base_/models/segformer_mit-b0.py'
model = dict(
    backbone=dict(drop_path_rate=0.0), decode_head=dict(channels=64, dropout_ratio=0.0, norm_cfg=dict(type='BN')))
