"""CLA in the heads of Semantic FPN and UPerNet."""
import pytest
import torch
from mmengine.runner import load_state_dict
from mmseg.models.decode_heads import FPNHead, UPerHead

import recipes
from mmxattn.models import CLAFPNHead, CLAUPerHead

SIZES = ((33, 25), (17, 13), (9, 7), (5, 4))
HEADS = pytest.mark.parametrize('kind, stock', [(CLAFPNHead, FPNHead), (CLAUPerHead, UPerHead)],
                                ids=lambda kind: kind.__name__)
OPTIONS = [dict(), dict(pairs=((0, 3), )), dict(pairs=((2, 3), (1, 2), (0, 1)), combination='cat'),
           dict(patch_size=2, normalisation=False)]


def channels_of(kind):
    return [6] * 4 if issubclass(kind, FPNHead) else [4, 8, 12, 16]


def head(kind, **arguments):
    torch.manual_seed(1)
    special = dict(feature_strides=[4, 8, 16, 32]) if issubclass(kind, FPNHead) else dict(pool_scales=(1, 2))
    return kind(in_channels=channels_of(kind), in_index=[0, 1, 2, 3], channels=8, num_classes=5, align_corners=False,
                norm_cfg=dict(type='BN'), **special, **arguments).eval()


def maps(kind, sizes=SIZES):
    torch.manual_seed(0)
    return [torch.randn(2, c, *size) for c, size in zip(channels_of(kind), sizes)]


@HEADS
@pytest.mark.parametrize('options', OPTIONS, ids=str)
@pytest.mark.parametrize('align_corners', [False, True])
def test_zero_init_is_the_stock_head(kind, stock, options, align_corners):
    theirs, ours = head(stock), head(kind, zero_init=True, **options)
    theirs.align_corners = ours.align_corners = align_corners
    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert not unexpected and missing and all(key.startswith('blocks.') for key in missing)
    assert torch.equal(ours(maps(kind)), theirs(maps(kind)))
    ours.init_weights()
    load_state_dict(ours, theirs.state_dict(), strict=False)
    assert torch.equal(ours(maps(kind)), theirs(maps(kind)))
    ours(maps(kind)).square().sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in ours.blocks.parameters())


def test_fpn_head_adds_the_blocks_to_the_sum():
    ours, theirs, inputs = head(CLAFPNHead), head(FPNHead), maps(CLAFPNHead)
    theirs.load_state_dict(ours.state_dict(), strict=False)
    theirs.conv_seg = torch.nn.Identity()
    embeddings = [scale[0](x) for scale, x in zip(ours.scale_heads, inputs)]
    assert [e.shape[2:] for e in embeddings] == [x.shape[2:] for x in inputs]
    expected = ours.cls_seg(theirs(inputs) + ours.blocks(inputs, embeddings))
    assert torch.allclose(ours(inputs), expected, atol=1e-6)


def test_uper_head_adds_the_blocks_to_the_fusion():
    """The embeddings are the maps that the stock head resizes and concatenates."""
    ours, theirs, inputs = head(CLAUPerHead), head(UPerHead), maps(CLAUPerHead)
    theirs.load_state_dict(ours.state_dict(), strict=False)
    seen = []
    theirs.fpn_bottleneck.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    fused = theirs._forward_feature(inputs)
    embeddings = ours.pyramid(inputs)
    assert [e.shape[2:] for e in embeddings] == [x.shape[2:] for x in inputs]
    assert torch.equal(torch.cat([ours.resize(e, SIZES[0]) for e in embeddings], 1), seen[0])
    assert torch.allclose(ours(inputs), ours.cls_seg(fused + ours.blocks(inputs, embeddings)), atol=1e-6)


@HEADS
@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_every_parameter_gets_a_gradient(kind, stock, options):
    ours = head(kind, **options).train()
    ours.dropout = None
    out = ours(maps(kind))
    assert out.shape == (2, 5, *SIZES[0])
    out.square().sum().backward()
    assert not [name for name, p in ours.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize('kind, name, added', [
    (CLAFPNHead, 'sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py', 279_552),
    (CLAUPerHead, 'upernet/upernet_r50_4xb4-80k_ade20k-512x512.py', 3_937_280),
])
def test_adds_the_documented_parameters(kind, name, added):
    cfg = recipes.stock('mmseg', name).model.decode_head
    cfg.pop('type')
    stock = FPNHead if kind is CLAFPNHead else UPerHead
    assert recipes.count(kind(**cfg)) == recipes.count(stock(**cfg)) + added
