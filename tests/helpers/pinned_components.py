"""Small instances of all components, to pin the names and shapes of the tensors in their checkpoints.

``python tests/helpers/pinned_components.py`` writes tests/data/checkpoint_keys/NAME.txt for new components. Existing
files are never changed, since users' checkpoints contain these names.
"""
from pathlib import Path

from mmdet.models.backbones.resnet import Bottleneck
from torch import nn

import recipes
import rtdetr
from mmxattn import layers, models
from mmxattn.layers import baselines

FOLDER = Path(__file__).parents[1] / 'data' / 'checkpoint_keys'

IN = [8, 16, 32]
HEAD = dict(in_index=[0, 1, 2, 3], num_classes=5, align_corners=False, norm_cfg=dict(type='BN'), channels=8)
SEGFORMER = dict(HEAD, in_channels=[4, 8, 12, 16])
ENCODER = dict(num_layers=1, layer_cfg=dict(self_attn_cfg=dict(embed_dims=16, num_heads=2),
                                            ffn_cfg=dict(embed_dims=16, feedforward_channels=32)))
HYBRID = dict(in_channels=IN, out_channels=16, encoder=ENCODER, expansion=0.5)


class Plain3x3(nn.Conv2d):
    """Module with the parameters of mmcv's deformable convolution."""

    def __init__(self, in_channels, out_channels, kernel_size, **arguments):
        super().__init__(in_channels, out_channels, kernel_size, padding=1)


def plugin(kind, **arguments):
    """A ResNet block with 32 channels and a plugin."""
    plugins = [dict(cfg=dict(type=f'mmxattn.{kind}', **arguments), position='after_conv3')]
    return lambda: Bottleneck(32, 8, plugins=plugins)


def aligned_fpn(kind):
    return lambda: models.AlignedFPN(IN, 16, num_outs=4, align_cfg=dict(type=kind))


def segmentor():
    backbone = dict(type='mmseg.ResNet', depth=18, base_channels=4, num_stages=2, out_indices=[1], strides=[1, 2],
                    dilations=[1, 1])
    head = dict(type='mmseg.FCNHead', in_channels=8, in_index=0, channels=8, num_convs=1, num_classes=5)
    return models.ImageEncoderDecoder(backbone, head)


COMPONENTS = {
    # layers
    'fine': lambda: layers.FINE(16),
    'fine_as-released': lambda: layers.FINE(16, attention='linear', ffn_ratio=4, modulation='direct',
                                            position_embedding=True),
    'fine_zero-init_unequal-channels_depthwise': lambda: layers.FINE(
        16, kernel_size=2, zero_init=True, high_channels=8, pooling='depthwise'),
    'cfsam': lambda: layers.CFSAM([8, 16], channels=16, depth=2, num_heads=2),
    'scsa': lambda: layers.SCSA(16),
    'scsa_zero-init': lambda: layers.SCSA(16, zero_init=True),
    'scsa_unshared_batch-norm': lambda: layers.SCSA(16, shared=False, norm='BN'),
    'cla': lambda: layers.CrossLayerAttention(8, 16, 12),
    'cla_decoder': lambda: layers.CLADecoder([4, 8, 12, 16], 8),
    'cla_decoder_cat': lambda: layers.CLADecoder([4, 8, 12, 16], 8, combination='cat'),
    # baselines
    'adafpn': lambda: baselines.AdaFPNAlignment(16),
    'afma': lambda: baselines.AFMA(16, 5),
    'cfam': lambda: baselines.CFAM([8, 16], 16),
    'cpca': lambda: baselines.CPCA(16),
    'ela': lambda: baselines.ELA(16),
    'ema': lambda: baselines.EMA(16, groups=2),
    'fapn': lambda: baselines.FaPNAlignment(16, deform_conv=Plain3x3),
    'fca': lambda: baselines.FCA(16),
    'mgc': lambda: baselines.MGC(IN, 16),
    'mobilevit': lambda: baselines.MobileViTBlock(8, 16),
    'sa': lambda: baselines.SA(16, 2),
    'sni': lambda: baselines.SNI(16),
    # OpenMMLab components
    'fine-fpn': lambda: models.FINEFPN(IN, 16, num_outs=4),
    'fine-pafpn': lambda: models.FINEPAFPN(IN, 16, num_outs=4),
    'fine-yolox-pafpn': lambda: models.FINEYOLOXPAFPN(IN, 16, num_csp_blocks=1),
    'fine-cspnext-pafpn': lambda: models.FINECSPNeXtPAFPN(IN, 16, num_csp_blocks=1),
    'fine-hybrid-encoder': lambda: models.FINEHybridEncoder(**HYBRID),
    'mgc-hybrid-encoder': lambda: models.MGCHybridEncoder(**HYBRID),
    'mgc-fpn': lambda: models.MGCFPN(IN, 16, num_outs=3),
    'cfsam-neck': lambda: models.CFSAMNeck([8, 16], channels=16, depth=1, num_heads=2),
    'cfam-neck': lambda: models.CFAMNeck([8, 16], channels=16),
    'resnet_scsa': lambda: models.WithPlugins(
        'mmdet.ResNet', [dict(cfg=dict(type='SCSA'), before=r'layer4\.\d+\.conv3')], depth=50, base_channels=8),
    'cla-segformer-head': lambda: models.CLASegformerHead(**SEGFORMER),
    'cla-segformer-head_zero-init': lambda: models.CLASegformerHead(**SEGFORMER, zero_init=True),
    'cla-uper-head': lambda: models.CLAUPerHead(**SEGFORMER, pool_scales=(1, 2)),
    'cla-fpn-head': lambda: models.CLAFPNHead(**dict(HEAD, in_channels=[6] * 4), feature_strides=[4, 8, 16, 32]),
    'afma-segformer-head': lambda: models.AFMASegformerHead(**SEGFORMER),
    'image-encoder-decoder': segmentor,
    'rtdetr_r18': lambda: recipes.build(rtdetr.small()),
    'rtdetr-hybrid-encoder': lambda: models.RTDETRHybridEncoder(**HYBRID),
    'resnet-vd': lambda: models.ResNetVD(depth=18, base_channels=4),
    'aligned-fpn_sni': aligned_fpn('SNI'),
    'aligned-fpn_fapn': aligned_fpn('FaPNAlignment'),
    'aligned-fpn_adafpn': aligned_fpn('AdaFPNAlignment'),
    'fapn-neck': lambda: models.FaPN(IN, 16, num_outs=4),
    'per-level-neck': lambda: models.PerLevelNeck([8, 16], dict(type='MobileViTBlock', channels=16, depth=1)),
    'plugin_ca': plugin('CA'),
    'plugin_cbam': plugin('CBAM'),
    'plugin_cpca': plugin('CPCA'),
    'plugin_eca': plugin('ECA'),
    'plugin_ela': plugin('ELA'),
    'plugin_ema': plugin('EMA', groups=2),
    'plugin_fca': plugin('FCA'),
    'plugin_mobilevit': plugin('MobileViTBlock', channels=16, depth=1),
    'plugin_sa': plugin('SA', groups=2),
    'plugin_scsa': plugin('SCSA'),
    'plugin_se': plugin('SE'),
    'plugin_se_without-norm': plugin('SE', norm=False),
}


def keys_of(module: nn.Module) -> list[str]:
    """Name and shape of each tensor of a module, one per line."""
    return [f'{key} {"x".join(map(str, tensor.shape)) or "scalar"}'
            for key, tensor in sorted(module.state_dict().items())]


def main():
    FOLDER.mkdir(exist_ok=True)
    for name, build in COMPONENTS.items():
        file = FOLDER / f'{name}.txt'
        if not file.exists():
            file.write_text(''.join(f'{line}\n' for line in keys_of(build())))
            print(f'Wrote {file}')


if __name__ == '__main__':
    main()
