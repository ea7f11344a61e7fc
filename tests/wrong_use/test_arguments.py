"""Wrong arguments of layers, necks, heads and plugins: the value is named, and what to give."""
import pytest
from mmdet.models.backbones import ResNet
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope
from refusals import refused

import mmxattn  # noqa: F401  registers the parts
from mmxattn.layers import CFSAM, FINE, SCSA, CLADecoder, CrossLayerAttention
from mmxattn.layers.rivals import CFAM, CPCA, EMA, MGC, SA, SNI, AdaFPNAlignment, FaPNAlignment, MobileViTBlock

C = [8, 16, 32, 64]

LAYERS = [
    (SCSA, dict(channels='64'), TypeError, "SCSA: channels='64'", 'whole number'),
    (SCSA, dict(channels=64.), TypeError, 'channels=64.0', 'whole number'),
    (SCSA, dict(channels=True), TypeError, 'channels=True', 'whole number'),
    (SCSA, dict(channels=-16), ValueError, 'channels=-16', 'at least 1'),
    (SCSA, dict(channels=30), ValueError, 'channels=30', 'not divisible by the 4'),
    (SCSA, dict(channels=16, kernel_sizes=7), TypeError, 'kernel_sizes=7', '(3, 5, 7, 9)'),
    (SCSA, dict(channels=16, kernel_sizes='3579'), TypeError, "kernel_sizes='3579'", '(3, 5, 7, 9)'),
    (SCSA, dict(channels=16, kernel_sizes=(3, 5, 7, 8)), ValueError, '(3, 5, 7, 8)', 'odd'),
    (SCSA, dict(channels=16, kernel_sizes=[]), ValueError, 'kernel_sizes=()', '(3, 5, 7, 9)'),
    (SCSA, dict(channels=16, window_size=0), ValueError, 'window_size=0', 'at least 1'),
    (SCSA, dict(channels=16, norm='IN'), ValueError, "norm='IN'", "'GN', 'BN', 'LN'"),
    (SCSA, dict(channels=16, zero_init='False'), TypeError, "zero_init='False'", 'True or False'),
    (SCSA, dict(channels=16, num_heads=5), ValueError, 'num_heads=5', 'not divisible'),
    (SCSA, dict(chanels=16), TypeError, "'chanels'"),
    (FINE, dict(channels=0), ValueError, 'FINE: channels=0', 'at least 1'),
    (FINE, dict(channels=-32), ValueError, 'channels=-32', 'at least 1'),
    (FINE, dict(channels=[256, 256]), TypeError, 'channels=[256, 256]', 'whole number'),
    (FINE, dict(channels=40), ValueError, 'channels=40', 'give num_heads'),
    (FINE, dict(channels=64, num_heads=0), ValueError, 'num_heads=0', 'at least 1'),
    (FINE, dict(channels=64, num_heads=5), ValueError, 'num_heads=5', 'divisor'),
    (FINE, dict(channels=64, kernel_size='2'), TypeError, "kernel_size='2'", 'whole number'),
    (FINE, dict(channels=64, sampling_ratio=1.5), TypeError, 'sampling_ratio=1.5', 'whole number'),
    (FINE, dict(channels=64, attention=['softmax']), ValueError, "attention=['softmax']", "'window'"),
    (FINE, dict(channels=64, attention='flash'), ValueError, "attention='flash'", "'window'"),
    (FINE, dict(channels=64, pooling='median'), ValueError, "pooling='median'", "'average'"),
    (FINE, dict(channels=64, modulation=None), ValueError, 'modulation=None', "'residual'"),
    (FINE, dict(channels=64, ffn_ratio=-1), ValueError, 'ffn_ratio=-1', 'above 0'),
    (FINE, dict(channels=64, ffn_ratio=float('nan')), ValueError, 'ffn_ratio=nan', 'above 0'),
    (FINE, dict(channels=64, high_channels=0), ValueError, 'high_channels=0', 'at least 1'),
    (FINE, dict(channels=64, modulation='direct', zero_init=True), ValueError, "'direct'", "modulation='residual'"),
    (CFSAM, dict(in_channels=256), TypeError, 'CFSAM: in_channels=256', 'channels of each level'),
    (CFSAM, dict(in_channels=[]), ValueError, 'in_channels is empty', 'channels of each level'),
    (CFSAM, dict(in_channels=[256, '256']), TypeError, "in_channels[1]='256'", 'whole number'),
    (CFSAM, dict(in_channels=C, num_heads=7), ValueError, 'num_heads=7', 'divisor'),
    (CFSAM, dict(in_channels=C, depth=-1), ValueError, 'depth=-1', 'at least 1'),
    (CFSAM, dict(in_channels=C, mlp_ratio='2'), TypeError, "mlp_ratio='2'", 'no number'),
    (CFSAM, dict(in_channels=C, mlp_ratio=0), ValueError, 'mlp_ratio=0', 'above 0'),
    (CFSAM, dict(in_channels=C, tokens_per_part=0), ValueError, 'tokens_per_part=0', 'at least 1'),
    (CFSAM, dict(in_channels=C, num_parts=None), TypeError, 'num_parts=None', 'whole number'),
    (CFSAM, dict(in_channels=C, stages='global'), ValueError, "stages='global'", "'local+global'"),
    (CFSAM, dict(in_channels=C, zero_init=True), ValueError, 'zero_init=True', 'residual=True'),
    (CrossLayerAttention, dict(fine_channels=8, coarse_channels=16, embed_channels=8, patch_size=0), ValueError,
     'patch_size=0', 'at least 1'),
    (CrossLayerAttention, dict(fine_channels=8, coarse_channels=16, embed_channels=8.), TypeError,
     'embed_channels=8.0', 'whole number'),
    (CLADecoder, dict(in_channels=C, embed_channels=8, pairs=((2, 1), (0, 3))), ValueError, 'pair (2, 1)', 'i finer'),
    (CLADecoder, dict(in_channels=C, embed_channels=8, pairs=(0, 3)), TypeError, 'pairs=(0, 3)', '((1, 2), (0, 3))'),
    (CLADecoder, dict(in_channels=C, embed_channels=8, pairs=()), ValueError, 'pairs=()', 'level 0'),
    (CLADecoder, dict(in_channels=C, embed_channels=8, combination='mul'), ValueError, "combination='mul'", "'cat'"),
    (CFAM, dict(in_channels=[4, 4], channels=8, ratio=17), ValueError, 'ratio=17', 'between 1 and 16'),
    (CPCA, dict(channels=16, kernel_size=4), ValueError, 'kernel_size=4', 'odd'),
    (CPCA, dict(channels=16, strips=(7, 10)), ValueError, 'strips[1]=10', 'odd'),
    (EMA, dict(channels=48), ValueError, 'channels=48', 'give groups'),
    (SA, dict(channels=7), ValueError, 'channels=7', 'even'),
    (MGC, dict(in_channels=[8], channels=None), TypeError, 'channels=None', 'whole number'),
    (SNI, dict(), TypeError, "'channels'"),
    (AdaFPNAlignment, dict(channels=16, high_channels=32), ValueError, 'high_channels=32', 'as many'),
    (FaPNAlignment, dict(channels=16, deform_conv=None, deform_groups=3), ValueError, 'deform_groups=3', 'divisor'),
    (MobileViTBlock, dict(in_channels=16, patch_size=-2), ValueError, 'patch_size=-2', 'at least 1'),
]

FPN = dict(in_channels=C, out_channels=16, num_outs=5)
ENCODER = dict(num_layers=1, layer_cfg=dict(self_attn_cfg=dict(embed_dims=16, num_heads=2),
                                            ffn_cfg=dict(embed_dims=16, feedforward_channels=32)))
SEGFORMER = dict(in_channels=C, in_index=[0, 1, 2, 3], channels=16, num_classes=3)
RESNET = dict(depth=50, base_channels=4)
SCSA_CFG = dict(type='SCSA')

COMPONENTS = [
    (dict(type='FINEFPN', kernel_sizes=2, **FPN), TypeError, 'FINEFPN: kernel_sizes=2', '[1, 2]'),
    (dict(type='FINEFPN', kernel_sizes=(1, 2, 4, 8), **FPN), ValueError, 'kernel_sizes=(1, 2, 4, 8)', 'have 3'),
    (dict(type='FINEFPN', kernel_sizes=['1'], **FPN), TypeError, "kernel_size='1'", 'whole number'),
    (dict(type='FINEFPN', start_level=4, **FPN), ValueError, 'start_level=4', 'below 4'),
    (dict(type='FINEFPN', start_level=-1, in_channels=C, out_channels=16, num_outs=6), ValueError, 'start_level=-1',
     'count from 0'),
    (dict(type='FINEFPN', end_level=7, **FPN), ValueError, 'end_level=7', 'end_level < self.num_ins'),
    (dict(type='FINEFPN', in_channels=C, out_channels=16, num_outs=2), ValueError, 'num_outs=2',
     'num_outs >= self.num_ins - start_level'),
    (dict(type='FINEFPN', in_channels=256, out_channels=16, num_outs=5), ValueError, 'in_channels=256',
     'isinstance(in_channels, list)'),
    (dict(type='FINEFPN', kernel_size=2, **FPN), TypeError, "'kernel_size'"),
    (dict(type='FINEFPN', fine_cfg=['linear'], **FPN), ValueError, "fine_cfg=['linear']", 'dict'),
    (dict(type='FINEFPN', fine_cfg=dict(kernel_size=2), **FPN), ValueError, "{'kernel_size': 2}", 'kernel_sizes'),
    (dict(type='FINEFPN', fine_cfg=dict(heads=2), **FPN), ValueError, "'heads'", 'num_heads'),
    (dict(type='FINEFPN', zero_init=1, **FPN), TypeError, 'zero_init=1', 'True or False'),
    (dict(type='FINEPAFPN', kernel_sizes=None, in_channels=C, out_channels=24, num_outs=5), ValueError, 'channels=24',
     'give num_heads'),
    (dict(type='AlignedFPN', align_cfg='SNI', **FPN), TypeError, "align_cfg='SNI'", "dict(type='SNI')"),
    (dict(type='AlignedFPN', align_cfg=dict(kernel_size=1), **FPN), TypeError, "{'kernel_size': 1}",
     "dict(type='SNI')"),
    (dict(type='AlignedFPN', align_cfg=dict(type='Fine'), **FPN), ValueError, "type='Fine'", 'custom_imports'),
    (dict(type='AlignedFPN', align_cfg=[dict(type='SNI')] * 4, **FPN), ValueError, '4 entries for 3', 'one a fusion'),
    (dict(type='FINEYOLOXPAFPN', in_channels=[16, 32, 64], out_channels=16, kernel_sizes=3), TypeError,
     'kernel_sizes=3', '[1, 2]'),
    (dict(type='CFSAMNeck', in_channels=256), TypeError, 'in_channels=256', 'channels of each level'),
    (dict(type='CFSAMNeck', in_channels=C, levels=0), TypeError, 'levels=0', '[0, 1]'),
    (dict(type='CFSAMNeck', in_channels=C, levels=[3, 4]), ValueError, 'levels=[3, 4]', 'below 4'),
    (dict(type='CFSAMNeck', in_channels=C, levels=[]), ValueError, 'levels=[]', 'one at least'),
    (dict(type='CFAMNeck', in_channels=C, ratio=0), ValueError, 'ratio=0', 'at least 1'),
    (dict(type='PerLevelNeck', in_channels=C, layer='SE'), TypeError, "layer='SE'", "dict(type='SE')"),
    (dict(type='PerLevelNeck', in_channels=[], layer=dict(type='SE')), ValueError, 'in_channels is empty',
     'channels of each level'),
    (dict(type='RTDETRHybridEncoder', in_channels=[8, 16], out_channels=32, encoder=ENCODER), ValueError,
     'out_channels=32', 'give both the same'),
    (dict(type='RTDETRHybridEncoder', in_channels=[8, 16], out_channels=16, encoder=ENCODER, expansion='1'), TypeError,
     "expansion='1'", 'no number'),
    (dict(type='mmseg.CLASegformerHead', pairs=((1, 4), (0, 3)), **SEGFORMER), ValueError, 'pair (1, 4)', 'j < 4'),
    (dict(type='mmseg.CLASegformerHead', pairs=((0, 3), ), **SEGFORMER), ValueError, 'levels [1, 2]', 'pair them'),
    (dict(type='mmseg.CLASegformerHead', in_channels=C, in_index=[0, 1], channels=16, num_classes=3), ValueError,
     'in_index=[0, 1]', 'len(in_channels) == len(in_index)'),
    (dict(type='mmseg.CLASegformerHead', zero_init='yes', **SEGFORMER), TypeError, "zero_init='yes'", 'True or False'),
    (dict(type='mmseg.AFMASegformerHead', out_channels=1, threshold=.5, in_channels=C, in_index=[0, 1, 2, 3],
          channels=16, num_classes=2), ValueError, 'out_channels=1', 'leave out_channels away'),
    (dict(type='ResNet', plugins=dict(cfg=SCSA_CFG, position='after_conv2'), **RESNET), TypeError,
     "plugins={'cfg': {'type': 'SCSA'}", 'plugins=[dict('),
    (dict(type='ResNet', plugins=[dict(cfg=SCSA_CFG, position='after_conv4')], **RESNET), ValueError,
     "position='after_conv4'", "'after_conv3'"),
    (dict(type='ResNet', plugins=[dict(cfg=SCSA_CFG)], **RESNET), ValueError, "{'cfg': {'type': 'SCSA'}}",
     "position='after_conv2'"),
    (dict(type='ResNet', plugins=[SCSA_CFG], **RESNET), ValueError, "{'type': 'SCSA'}", 'cfg=dict('),
    (dict(type='ResNet', plugins=[dict(cfg=SCSA_CFG, position='after_conv2', stages=(True, True))], **RESNET),
     ValueError, 'stages=(True, True)', 'each of the 4 stages'),
    (dict(type='ResNet', plugins=[dict(cfg=SCSA_CFG, position='after_conv2')], depth=18), ValueError, 'depth=18',
     'WithPlugins'),
    (dict(type='ResNet', plugins=[dict(cfg=dict(type='SCSA', kernel_size=3), position='after_conv2')], **RESNET),
     TypeError, "'kernel_size'"),
    (dict(type='WithPlugins', host='ResNet', plugins=dict(cfg=SCSA_CFG, after='layer1'), **RESNET), TypeError,
     "plugins={'cfg'", "[dict(cfg="),
    (dict(type='WithPlugins', host='ResNet', plugins=[dict(cfg=SCSA_CFG, after='layer5')], **RESNET), ValueError,
     "r'layer5'", "near it are r'layer"),
    (dict(type='WithPlugins', host='ResNet', plugins=[dict(cfg=SCSA_CFG, after=1)], **RESNET), TypeError, "'after': 1",
     'regular expression'),
    (dict(type='WithPlugins', host='ResNet', plugins=[dict(cfg=SCSA_CFG, after='conv(')], **RESNET), ValueError,
     "r'conv('", 'no regular expression'),
    (dict(type='WithPlugins', host='ResNet', plugins=[dict(cfg=dict(type='Scsa'), after='layer1')], **RESNET),
     ValueError, "type='Scsa'", 'custom_imports'),
    (dict(type='WithPlugins', host='ResNett', plugins=[], **RESNET), KeyError, 'ResNett', 'registry'),
]


@pytest.mark.parametrize('layer, arguments, kind, words', [(a, b, c, d) for a, b, c, *d in LAYERS],
                         ids=[f'{row[0].__name__}-{i}' for i, row in enumerate(LAYERS)])
def test_of_a_layer(layer, arguments, kind, words):
    refused(lambda: layer(**arguments), kind, *words)


@pytest.mark.parametrize('cfg, kind, words', [(a, b, c) for a, b, *c in COMPONENTS],
                         ids=[f'{row[0]["type"]}-{i}' for i, row in enumerate(COMPONENTS)])
def test_of_a_component_in_a_config(cfg, kind, words):
    with DefaultScope.overwrite_default_scope('mmdet'):
        refused(lambda: ROOT.build(dict(cfg, _scope_='mmdet')), kind, *words)
    assert ResNet(**RESNET).depth == 50  # nothing stays of it
