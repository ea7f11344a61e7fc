"""A small model around each part, whose loss over a batch is the sum of what each image gives over what all give.

So a step of two processes can be compared with one step over both their images: FCOS divides by the positives of all
processes, and a segmentor by pixels; a norm is over one image everywhere. (BatchNorm in evaluation would do as well,
but behind random weights it normalises nothing: features grow until the gradients of FINE's biases vanish in rounding.)
"""
from pathlib import Path

from mmengine.config import Config

PARTS = ['fine', 'cfsam', 'scsa', 'cla']
NEW = dict(fine=['FINE'], cfsam=['CFSAM', 'Block'], scsa=['SCSA'], cla=['CrossLayerAttention'])  # classes of new layers
DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
GN = dict(type='GN', num_groups=4)
FCOS = 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'


def detector(stock: str) -> Config:
    """A one-stage detector of mmdet with a narrow ResNet-50 and FPN."""
    config = Config.fromfile(DEMO / 'faster-rcnn_r50-w16_fpn64_digits.py')
    model = Config.fromfile(f'{__import__("mmdet").__path__[0]}/.mim/configs/{stock}').model
    model.backbone.update(base_channels=8, init_cfg=None, frozen_stages=-1, zero_init_residual=False, norm_cfg=GN)
    model.neck.update(in_channels=[32, 64, 128, 256], out_channels=32)
    model.bbox_head.update(num_classes=10, in_channels=32, feat_channels=32, stacked_convs=1)
    config.model = model
    return config


def recipe(part: str, stock: str = FCOS) -> Config:
    """The recipe of a small host with ``part`` in it; ``stock`` is the detector, where the host is one."""
    if part == 'cla':
        config = Config.fromfile(DEMO / 'segformer_mit-b0_cla_digits-160x160.py')
        config.model.backbone.update(num_layers=[1, 1, 1, 1])
        config.model.decode_head.update(channels=16, norm_cfg=GN)
    else:
        config = detector(stock)
    if part == 'fine':
        config.model.neck.type = 'FINEFPN'
    if part == 'scsa':
        # not in the first stage: of two channels a group norm leaves next to nothing of what sets them apart
        config.model.backbone.plugins = [
            dict(cfg=dict(type='SCSA'), stages=(False, True, True, True), position='after_conv2')]
    if part == 'cfsam':
        neck = dict(type='CFSAMNeck', in_channels=[32] * 5, channels=32, depth=2, tokens_per_part=128, norm_cfg=GN)
        config.model.neck = [config.model.neck, neck]
    for name in ('val_cfg', 'val_dataloader', 'val_evaluator', 'test_cfg', 'test_dataloader', 'test_evaluator'):
        config[name] = None
    config.custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
    return config
