"""Wrong maps: shape, number, order, type and device are named, and what to give."""
import pytest
import torch
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope
from refusals import refused

import mmxattn  # noqa: F401  registers the parts
from mmxattn.layers import CFSAM, FINE, SCSA, CLADecoder, CrossLayerAttention
from mmxattn.layers.baselines import (
    AFMA,
    CA,
    CBAM,
    CFAM,
    CPCA,
    ECA,
    ELA,
    EMA,
    FCA,
    MGC,
    SA,
    SE,
    SNI,
    AdaFPNAlignment,
    MobileViTBlock,
)

C = [8, 16, 32, 64]


def x(channels, side, **how):
    return torch.zeros(2, channels, side, side, **how)


def pyramid(*channels, side=32):
    return [x(c, side >> i) for i, c in enumerate(channels)]


SINGLE = [
    (SCSA(16), (x(16, 8)[0], ), ValueError, '(16, 8, 8)', 'x[None]'),
    (SCSA(16), (x(8, 8), ), ValueError, '8 channels', 'build it for 8'),
    (SCSA(16), (x(16, 8).int(), ), TypeError, 'torch.int32', 'x.float()'),
    (SCSA(16), (x(16, 8).bool(), ), TypeError, 'torch.bool', 'x.float()'),
    (SCSA(16), (x(16, 8).cfloat(), ), TypeError, 'torch.complex64', 'real floating-point'),
    (SCSA(16), (x(16, 8).double(), ), TypeError, 'torch.float64', 'x.to(torch.float32)'),
    (SCSA(16), (x(16, 8).half(), ), TypeError, 'torch.float16', 'torch.autocast'),
    (SCSA(16), (x(16, 8, device='meta'), ), ValueError, 'on meta', "layer.to('meta')"),
    (SCSA(16).to('meta'), (x(16, 8), ), ValueError, 'on cpu', "layer.to('cpu')"),
    (SCSA(16), (x(16, 0), ), ValueError, '(2, 16, 0, 0)', '1 x 1'),
    (SCSA(16), ([x(16, 8)], ), TypeError, 'is a list', 'give a tensor'),
    (SCSA(16), (x(16, 8).numpy(), ), TypeError, 'is a ndarray', 'give a tensor'),
    (SCSA(16, spatial=False), (x(8, 8), ), ValueError, '8 channels', 'build it for 8'),
    *((layer, (x(8, 8), ), ValueError, f'{type(layer).__name__}: the map has 8 channels', 'build it for 8')
      for layer in (CA(64), CBAM(64), CPCA(64), ECA(64), ELA(64), EMA(64), FCA(64), SA(64), SE(64),
                    MobileViTBlock(64))),
]
PAIRS = [
    (FINE(16), (x(16, 4), x(16, 8)), ValueError, 'low map (4, 4) is smaller than the high map (8, 8)', 'finer level'),
    (FINE(16), (x(16, 8), x(8, 4)), ValueError, 'the high map 8', 'channels=16'),
    (FINE(16), (x(16, 8), x(16, 4)[0]), ValueError, 'the high map has shape (16, 4, 4)', 'x[None]'),
    (FINE(16), (x(16, 8), x(16, 4)[:1]), ValueError, 'a batch of 2, the high map of 1', 'same images'),
    (FINE(16), (x(16, 8), x(16, 4).double()), TypeError, 'high map holds torch.float64', 'x.to(torch.float32)'),
    (FINE(16), (x(16, 8).long(), x(16, 4)), TypeError, 'low map holds torch.int64', 'x.float()'),
    (FINE(16), (x(16, 8), x(16, 4, device='meta')), ValueError, 'high map is on meta', "layer.to('meta')"),
    (FINE(16), (x(16, 8), None), TypeError, 'high map is a NoneType', 'give a tensor'),
    (FINE(16), ((x(16, 8), x(16, 4)), x(16, 4)), TypeError, 'low map is a tuple', 'give a tensor'),
    (SNI(16), (x(16, 4), x(16, 8)), ValueError, '(4, 4) is smaller', 'finer level first'),
    (AdaFPNAlignment(16), (x(16, 8), x(8, 4)), ValueError, 'high map has 8 channels', 'build it for 8'),
    (CrossLayerAttention(8, 16, 4), (x(8, 4), x(16, 8), x(4, 8)), ValueError, '(4, 4) is smaller', 'finer level first'),
    (CrossLayerAttention(8, 16, 4), (x(8, 8), x(16, 4), x(4, 8)), ValueError, '(8, 8)', 'differ in size'),
    (CrossLayerAttention(8, 16, 4), (x(16, 8), x(16, 4), x(4, 4)), ValueError, '(16, 16, 4)', 'built for (8, 16, 4)'),
    (CrossLayerAttention(8, 16, 4), (x(8, 8), x(16, 4), x(4, 4)[:1]), ValueError, '(2, 2, 1)', 'same images'),
    (CrossLayerAttention(8, 16, 4), (x(8, 8), x(16, 4).short(), x(4, 4)), TypeError, 'torch.int16', 'x.float()'),
    (AFMA(8, 5), (x(3, 4), x(8, 8), x(5, 4)), ValueError, 'image (4, 4) is smaller', 'image first'),
    (AFMA(8, 5), (x(8, 4), x(3, 8), x(5, 8)), ValueError, 'the image has 8 channels', 'built for 3'),
    (AFMA(8, 5), (x(3, 8), x(8, 4), x(5, 4)), ValueError, '(2, 5, 4, 4)', 'resize the masks'),
]
LISTS = [
    (CFSAM([8, 8]), (x(8, 8), ), TypeError, 'are a Tensor', 'give a list'),
    (CFSAM([8, 8]), (pyramid(8), ), ValueError, 'got 1 levels', 'asks for 2'),
    (CFSAM([8, 16]), (pyramid(16, 8), ), ValueError, 'channels (16, 8)', 'in_channels=(8, 16)'),
    (CFSAM([8, 8]), ([x(8, 8), x(8, 4)[0]], ), ValueError, 'level 1 has shape (8, 4, 4)', 'x[None]'),
    (CFSAM([8, 8]), ([x(8, 8), x(8, 4)[:1]], ), ValueError, 'batches of [2, 1]', 'same images'),
    (CFSAM([8, 8]), ([x(8, 8), x(8, 4).byte()], ), TypeError, 'level 1 holds torch.uint8', 'x.float()'),
    (CFSAM([8, 8]), (iter(pyramid(8, 8)), ), TypeError, 'are a list_iterator', 'give a list'),
    (CFAM([8, 8], 8), (pyramid(8, 8, 8), ), ValueError, 'got 3 levels', 'asks for 2'),
    (MGC([8, 8], 8), (pyramid(8, 16), pyramid(8, 8)), ValueError, 'channels (8, 16)', 'in_channels=(8, 8)'),
    (CLADecoder([8, 16], 4, ((0, 1), )), (pyramid(8, 16), pyramid(4, 4)[::-1]), ValueError, '(32, 32)',
     'differ in size'),
]
FPN = dict(in_channels=C, out_channels=16, num_outs=5)
COMPONENTS = [
    (dict(type='FINEFPN', **FPN), pyramid(*C[1:]), ValueError, 'got 3 levels', 'in_channels=[8, 16, 32, 64]'),
    (dict(type='FINEFPN', **FPN), pyramid(*C[::-1]), ValueError, 'channels (64, 32, 16, 8)', 'in_channels=[8, 16'),
    (dict(type='FINEFPN', **FPN), pyramid(*C)[0], TypeError, 'are a Tensor', 'give a list'),
    (dict(type='FINEFPN', **FPN), [x(c, 4 << i) for i, c in enumerate(C)], ValueError, 'smaller', 'finer level first'),
    (dict(type='FINEFPN', **FPN), [y.double() for y in pyramid(*C)], TypeError, 'torch.float64', 'x.to(torch.float32)'),
    (dict(type='CFSAMNeck', in_channels=[16] * 5), pyramid(*C), ValueError, 'got 4 levels', 'put the neck behind'),
    (dict(type='CFSAMNeck', in_channels=[16] * 4), pyramid(*C), ValueError, '(8, 16, 32, 64)', 'put the neck behind'),
    (dict(type='PerLevelNeck', in_channels=C, layer=dict(type='SCSA')), pyramid(*C[:2]), ValueError, 'got 2 levels',
     'asks for 4'),
    (dict(type='mmseg.CLASegformerHead', in_channels=C, in_index=[0, 1, 2, 3], channels=16, num_classes=3),
     pyramid(*C[:3]), ValueError, 'got 3 levels', 'asks for 4'),
    (dict(type='mmseg.AFMASegformerHead', in_channels=C, in_index=[0, 1, 2, 3], channels=16, num_classes=3),
     pyramid(*C), ValueError, 'got 3 maps', "type='ImageEncoderDecoder'"),
    (dict(type='WithPlugins', host='ResNet', depth=18, plugins=[dict(cfg=dict(type='SCSA', in_channels=32),
                                                                     after='layer1')]),
     x(3, 32), ValueError, 'the map has 64 channels', 'build it for 64'),
]


@pytest.mark.parametrize('layer, maps, kind, words', [(a, b, c, d) for a, b, c, *d in (*SINGLE, *PAIRS, *LISTS)],
                         ids=[f'{row[0]._get_name()}-{i}' for i, row in enumerate((*SINGLE, *PAIRS, *LISTS))])
def test_of_a_layer(layer, maps, kind, words):
    maps = [iter(pyramid(8, 8)) if hasattr(y, '__next__') else y for y in maps]
    refused(lambda: layer(*maps), kind, *words)
    assert all(not p.isnan().any() for p in layer.parameters() if p.device.type == 'cpu')


@pytest.mark.parametrize('cfg, maps, kind, words', [(a, b, c, d) for a, b, c, *d in COMPONENTS],
                         ids=[f'{row[0]["type"]}-{i}' for i, row in enumerate(COMPONENTS)])
def test_of_a_component_in_a_config(cfg, maps, kind, words):
    with DefaultScope.overwrite_default_scope('mmdet'):
        part = ROOT.build(dict(cfg, _scope_='mmdet'))
    part.eval()
    refused(lambda: part(maps), kind, *words)


@pytest.mark.parametrize('layer, maps', [(SCSA(16), (x(16, 8), )), (FINE(16), (x(16, 8), x(16, 4))),
                                         (CFSAM([16, 16]), (pyramid(16, 16), ))], ids=['SCSA', 'FINE', 'CFSAM'])
def test_what_is_right_passes(layer, maps):
    assert layer(*maps) is not None
    with torch.autocast('cpu', torch.bfloat16):
        layer(*[[y.bfloat16() for y in m] if isinstance(m, list) else m.bfloat16() for m in maps])
    layer.double().eval()
    layer(*[[y.double() for y in m] if isinstance(m, list) else m.double() for m in maps])
    layer.to('meta')(*[[y.to('meta').double() for y in m] if isinstance(m, list) else m.to('meta').double()
                       for m in maps])
