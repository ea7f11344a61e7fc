import pytest
import torch
from mmengine.runner import load_state_dict
from mmseg.models.decode_heads import SegformerHead

from mmxattn.models import CLASegformerHead

CHANNELS = [4, 8, 12, 16]


def head(kind=CLASegformerHead, **arguments):
    torch.manual_seed(1)
    return kind(**{**dict(in_channels=CHANNELS, in_index=[0, 1, 2, 3], channels=8, num_classes=5,
                          norm_cfg=dict(type='BN'), align_corners=False), **arguments}).eval()


def maps(sizes=((33, 25), (17, 13), (9, 7), (5, 4))):
    torch.manual_seed(0)
    return [torch.randn(2, c, *size) for c, size in zip(CHANNELS, sizes)]


@pytest.mark.parametrize('pairs', [((1, 2), (0, 3)), ((2, 3), (1, 2), (0, 1)), ((1, 3), (0, 2)),
                                   ((2, 3), (1, 3), (0, 3))])
@pytest.mark.parametrize('patch_size', [1, 2, 3, 4, 8])
def test_predicts_at_the_size_of_the_finest_map(pairs, patch_size):
    assert head(pairs=pairs, patch_size=patch_size)(maps()).shape == (2, 5, 33, 25)


def test_agrees_with_the_paper():
    ours, inputs = head().double(), [x.double() for x in maps()]
    f1, f2, f3, f4 = inputs
    e1, e2, e3, e4 = [conv(x) for conv, x in zip(ours.convs, inputs)]

    def up(x, like):
        return torch.nn.functional.interpolate(x, size=like.shape[2:], mode='bilinear', align_corners=False)

    def mix(block, *embeddings):
        return torch.nn.functional.conv2d(torch.cat(embeddings, 1), block.conv.weight, block.conv.bias)

    block23, block14 = ours.blocks
    x = mix(block23, e2, up(e3, e2)) + block23.cla(f2, f3, e3)
    x = mix(block14, up(x, e1), e1, up(e4, e1)) + block14.cla(f1, f4, e4)
    assert torch.allclose(ours(inputs), ours.cls_seg(x), rtol=1e-10)


def test_head_works_with_one_pair_of_levels():
    ours = head(in_channels=[4, 16], in_index=[0, 3], pairs=((0, 1), ))
    inputs = maps()
    one, four = [conv(x) for conv, x in zip(ours.convs, (inputs[0], inputs[3]))]
    x = ours.blocks[0](inputs[0], inputs[3], one, four)
    assert torch.equal(ours(inputs), ours.cls_seg(x))


def test_options_reach_the_blocks():
    ours = head(patch_size=2, normalisation=False, combination='cat', interpolate_mode='bicubic')
    for block in ours.blocks:
        assert (block.cla.patch_size, block.cla.normalisation) == (2, False) and block.combine is not None
        x = torch.randn(1, 1, 3, 2)
        assert torch.equal(block.conv.resize(x, (6, 5)), torch.nn.functional.interpolate(x, (6, 5), mode='bicubic'))
    assert head(combination='cat')(maps()).shape == (2, 5, 33, 25)


def test_fusion_convolution_is_removed():
    assert not any('fusion_conv' in key for key in head().state_dict())


@pytest.mark.parametrize('options', [dict(), dict(combination='cat'), dict(pairs=((0, 3), )),
                                     dict(patch_size=4, normalisation=False)], ids=str)
def test_zero_init_is_the_stock_head(options):
    stock, ours = head(SegformerHead), head(zero_init=True, **options)
    missing, unexpected = ours.load_state_dict(stock.state_dict(), strict=False)
    assert not unexpected and missing and all(key.startswith('blocks.') for key in missing)
    assert torch.equal(ours(maps()), stock(maps()))
    ours.init_weights()
    load_state_dict(ours, stock.state_dict(), strict=False)
    assert torch.equal(ours(maps()), stock(maps()))
    ours(maps()).pow(2).sum().backward()
    last = ours.blocks[-1]
    if last.combine is None:
        assert last.conv.weight.grad.any() and last.cla.mix.weight.grad.any()
    else:
        assert all(half.any() for half in last.combine.weight.grad.chunk(2, dim=1))


@pytest.mark.parametrize('options', [dict(), dict(combination='cat'), dict(patch_size=2, normalisation=False)], ids=str)
def test_every_parameter_gets_a_gradient(options):
    ours = head(**options).train()
    ours.dropout = None
    ours(maps()).pow(2).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in ours.parameters())
