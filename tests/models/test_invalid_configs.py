"""Errors for mistakes that users make in configs: what must hold, and what was given."""
import pytest
import torch
from mmengine.registry import MODELS, DefaultScope

import mmxattn  # noqa: F401  registers the components

C = [8, 16, 32, 64]
FPN = dict(in_channels=C, out_channels=16, num_outs=5)
ENCODER = dict(num_layers=1, layer_cfg=dict(self_attn_cfg=dict(embed_dims=16, num_heads=2),
                                            ffn_cfg=dict(embed_dims=16, feedforward_channels=32)))
SEGFORMER = dict(in_channels=C, in_index=[0, 1, 2, 3], channels=16, num_classes=3)
CLA = dict(type='mmseg.CLASegformerHead', **SEGFORMER)
RESNET = dict(depth=50, base_channels=4)


def scsa(**plugin):
    return [dict(cfg=dict(type='SCSA'), **plugin)]


def with_plugins(plugins):
    return dict(type='WithPlugins', host='ResNet', plugins=plugins, **RESNET)


INVALID = [
    (dict(type='FINEFPN', kernel_size=2, **FPN), TypeError, "unexpected keyword argument 'kernel_size'"),
    (dict(type='FINEFPN', kernel_sizes=(1, 2, 4, 8), **FPN), ValueError,
     r'kernel_sizes must have at most 3 entries, one per fusion, got \(1, 2, 4, 8\)'),
    (dict(type='FINEFPN', fine_cfg=dict(attention='flash'), **FPN), ValueError, "attention must be .* got 'flash'"),
    (dict(type='FINEFPN', fine_cfg=dict(heads=2), **FPN), TypeError, "'heads'"),
    (dict(type='FINEFPN', align_cfg=dict(type='SNI'), **FPN), TypeError, "'align_cfg'"),
    (dict(type='FINEPAFPN', in_channels=C, out_channels=24, num_outs=5), ValueError, 'channels.*24'),
    (dict(type='FINEYOLOXPAFPN', in_channels=C[1:], out_channels=16, kernel_sizes=(1, 2, 4)), ValueError,
     'kernel_sizes must have at most 2 entries'),
    (dict(type='AlignedFPN', align_cfg=[dict(type='SNI')] * 4, **FPN), ValueError,
     'align_cfg must have at most 3 entries, one per fusion, got 4'),
    (dict(type='AlignedFPN', align_cfg=dict(type='Fine'), **FPN), KeyError, 'Fine is not in the'),
    (dict(type='CFSAMNeck', in_channels=C, levels=[3, 4]), ValueError,
     r'levels must be distinct indices below 4.*got \[3, 4\]'),
    (dict(type='CFSAMNeck', in_channels=C, levels=[1, 1]), ValueError, r'got \[1, 1\]'),
    (dict(type='CFSAMNeck', in_channels=C, zero_init=True), ValueError, 'residual'),
    (dict(type='RTDETRHybridEncoder', in_channels=C[1:], out_channels=32, encoder=ENCODER), ValueError,
     'embed_dims of encoder must equal out_channels, got 16 and 32'),
    (dict(type='RTDETRHybridEncoder', in_channels=C[1:], out_channels=18, encoder=ENCODER), ValueError,
     'out_channels must be a multiple of 4, got 18'),
    (dict(type='FINEHybridEncoder', in_channels=C[1:], out_channels=16, encoder=ENCODER, kernel_sizes=(1, 2, 4)),
     ValueError, 'kernel_sizes must have at most 2 entries'),
    (dict(CLA, pairs=((2, 1), (0, 3))), ValueError, r'\(2, 1\)'),
    (dict(CLA, pairs=((1, 4), (0, 3))), ValueError, r'\(1, 4\)'),
    (dict(CLA, pairs=((0, 3), (1, 2))), ValueError, 'level 0'),
    (dict(CLA, pairs=((0, 3), )), ValueError, r'pairs must contain every level, got .* without \[1, 2\]'),
    (dict(CLA, combination='mul'), ValueError, "combination must be .* got 'mul'"),
    (dict(type='mmseg.AFMASegformerHead', **dict(SEGFORMER, num_classes=2), out_channels=1, threshold=.5), ValueError,
     'out_channels must equal num_classes, got 1 and 2'),
    (dict(type='ResNet', depth=18, plugins=scsa(position='after_conv2')), ValueError,
     r"plugins require Bottleneck blocks .* got depth=18. Use dict\(type='WithPlugins', host='ResNet', ...\)"),
    (with_plugins(scsa()), ValueError, 'plugins must be dicts with cfg and either after or before'),
    (with_plugins(scsa(after='conv1', before='conv1')), ValueError, 'either after or before'),
    (with_plugins(scsa(after='conv1', position='after_conv2')), ValueError, "'position': 'after_conv2'"),
    (with_plugins([dict(after='conv1')]), ValueError, 'must be dicts with cfg'),
    (with_plugins(scsa(after=r'layer\d\.\d+\.norm3')), ValueError,
     r"matches no full module name of ResNet. Similar names: .*r'layer\\d\+\\.\\d\+\\.bn3'"),
    (with_plugins(scsa(after='conv(')), ValueError, "r'conv\\(' is not a valid regular expression"),
    (with_plugins(scsa(after='maxpool')), ValueError, r"channels of 'maxpool' \(MaxPool2d\) in ResNet are unknown"),
    (with_plugins(scsa(after=r'layer\d\.\d+\.bn[12]')), ValueError,
     "matches 'layer1.0.bn2', but 'layer1.0' already has a plugin 'scsa'"),
]


@pytest.mark.parametrize('cfg, error, message', INVALID, ids=[f'{row[0]["type"]}-{i}' for i, row in enumerate(INVALID)])
def test_invalid_config_is_refused(cfg, error, message):
    with DefaultScope.overwrite_default_scope('mmdet'), pytest.raises(error, match=message):
        MODELS.build(dict(cfg, _scope_='mmdet'))


def pyramid(*channels):
    return [torch.zeros(1, c, 32 >> i, 32 >> i) for i, c in enumerate(channels)]


INVALID_INPUTS = [
    (dict(type='FINEFPN', **FPN), pyramid(*C[1:]), r'FINEFPN: expected 4 maps .* with in_channels=\[8, 16, 32, 64\]'),
    (dict(type='FINEFPN', **FPN), pyramid(*C[::-1]), r'got shapes \[\(1, 64, 32, 32\)'),
    (dict(type='FINEFPN', **FPN), [torch.zeros(1, c, 4 << i, 4 << i) for i, c in enumerate(C)],
     r'low must be at least as large as high'),
    (dict(type='FINEYOLOXPAFPN', in_channels=C[1:], out_channels=16), pyramid(16, 32), 'expected 3 maps'),
    (dict(type='CFSAMNeck', in_channels=[16] * 5), pyramid(*C), 'CFSAMNeck: expected 5 maps'),  # the order of necks
    (dict(type='CFAMNeck', in_channels=[16] * 2), pyramid(16), 'CFAM: expected 2 maps'),
    (dict(type='PerLevelNeck', in_channels=C, layer=dict(type='SCSA')), pyramid(*C[:2]), 'expected 4 maps'),
    (CLA, pyramid(*C[:3]), r'CLASegformerHead: in_index=\[0, 1, 2, 3\] requires 4 maps, got 3'),
    (dict(type='mmseg.AFMASegformerHead', **SEGFORMER), pyramid(*C), "Use a segmentor of type='ImageEncoderDecoder'"),
]


@pytest.mark.parametrize('cfg, inputs, message', INVALID_INPUTS,
                         ids=[f'{row[0]["type"]}-{i}' for i, row in enumerate(INVALID_INPUTS)])
def test_inputs_that_do_not_fit_are_refused(cfg, inputs, message):
    with DefaultScope.overwrite_default_scope('mmdet'):
        component = MODELS.build(dict(cfg, _scope_='mmdet'))
    with pytest.raises(ValueError, match=message):
        component(inputs)
