"""A small model around each module, whose loss over a batch is the sum of the losses over its images.

Two processes can then be compared with one that has the images of both: FCOS divides its loss by the positives of all
processes, segmentors by pixels, and GroupNorm works on one image.
"""
from pathlib import Path

from mmengine.config import Config

MODULES = ['fine', 'cfsam', 'scsa', 'cla']
CLASSES = dict(fine=['FINE'], cfsam=['CFSAM', 'TransformerBlock'], scsa=['SCSA'], cla=['CrossLayerAttention'])
DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
GN = dict(type='GN', num_groups=4)


def detector() -> Config:
    """FCOS with a narrow ResNet-50 and FPN."""
    config = Config.fromfile(DEMO / 'faster-rcnn_r50-w16_fpn64_digits.py')
    configs = Path(__import__('mmdet').__path__[0]) / '.mim' / 'configs'
    model = Config.fromfile(configs / 'fcos' / 'fcos_r50-caffe_fpn_gn-head_1x_coco.py').model
    model.backbone.update(base_channels=8, init_cfg=None, frozen_stages=-1, zero_init_residual=False, norm_cfg=GN)
    model.neck.update(in_channels=[32, 64, 128, 256], out_channels=32)
    model.bbox_head.update(num_classes=10, in_channels=32, feat_channels=32, stacked_convs=1)
    config.model = model
    return config


def small_config(module: str) -> Config:
    """The config of a small model with one of MODULES."""
    if module == 'cla':
        config = Config.fromfile(DEMO / 'segformer_mit-b0_cla_digits-160x160.py')
        config.model.backbone.update(num_layers=[1, 1, 1, 1])
        config.model.decode_head.update(channels=16, norm_cfg=GN)
    else:
        config = detector()
    if module == 'fine':
        config.model.neck.type = 'FINEFPN'
    if module == 'scsa':
        # Not in the first stage, where GroupNorm over two channels removes most of the signal.
        config.model.backbone.plugins = [
            dict(cfg=dict(type='SCSA'), stages=(False, True, True, True), position='after_conv2')]
    if module == 'cfsam':
        neck = dict(type='CFSAMNeck', in_channels=[32] * 5, channels=32, depth=2, tokens_per_part=128, norm_cfg=GN)
        config.model.neck = [config.model.neck, neck]
    for mode in ('val', 'test'):
        config.update({f'{mode}_{part}': None for part in ('cfg', 'dataloader', 'evaluator')})
    config.custom_imports = dict(imports=['mmxattn'], allow_failed_imports=False)
    return config


def submodules(model, module: str) -> list[str]:
    """The names of the submodules that belong to one of MODULES, outer ones first."""
    return [name for name, child in model.named_modules() if type(child).__name__ in CLASSES[module]]
