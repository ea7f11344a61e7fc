import pytest
import torch
import torch.nn.functional as F

from mmxattn.models import FINEHybridEncoder, MGCHybridEncoder, RTDETRHybridEncoder

CHANNELS = [8, 16, 32]


def encoder_cfg(width):
    return dict(
        num_layers=1,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=width, num_heads=4, dropout=0.0),
            ffn_cfg=dict(embed_dims=width, feedforward_channels=2 * width, ffn_drop=0., act_cfg=dict(type='GELU'))))


def neck(kind=RTDETRHybridEncoder, width=16, **more):
    torch.manual_seed(1)
    return kind(in_channels=CHANNELS, out_channels=width, encoder=encoder_cfg(width), **{'expansion': 0.5, **more})


def inputs(height=9, width=14):
    """Maps of an image whose size 32 does not divide."""
    torch.manual_seed(0)
    sizes = [(height, width)]
    for _ in CHANNELS[1:]:
        sizes.append(tuple(-(-n // 2) for n in sizes[-1]))
    return tuple(torch.randn(2, c, *size) for c, size in zip(CHANNELS, sizes))


def position(rows, columns, width):
    """Sine and cosine of the row, then of the column."""
    out = torch.zeros(rows * columns, width)
    for row in range(rows):
        for column in range(columns):
            for i in range(width // 4):
                frequency = 10000**(-i / (width // 4))
                for quarter, value in enumerate((row, row, column, column)):
                    wave = torch.sin if quarter % 2 == 0 else torch.cos
                    out[row * columns + column, quarter * (width // 4) + i] = wave(torch.tensor(value * frequency))
    return out


def reference(ours, maps):
    """Fig. 4 of the paper for three levels in eval mode."""
    s3, s4, s5 = (project(x) for project, x in zip(ours.input_proj, maps))
    layer, (rows, columns) = ours.encoder.layers[0], s5.shape[2:]
    attention = layer.self_attn.attn
    tokens = s5.flatten(2).transpose(1, 2)
    at = tokens + position(rows, columns, s5.shape[1])
    q, k, v = (F.linear(x, w, b) for x, w, b in zip(
        (at, at, tokens), attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)))
    heads = []
    for qi, ki, vi in zip(*(x.chunk(attention.num_heads, 2) for x in (q, k, v))):
        heads.append((qi @ ki.transpose(1, 2) / qi.shape[2]**0.5).softmax(2) @ vi)
    x = layer.norms[0](tokens + attention.out_proj(torch.cat(heads, 2)))
    x = layer.norms[1](x + layer.ffn.layers[1](F.gelu(layer.ffn.layers[0][0](x))))
    f5 = ours.lateral_convs[0](x.transpose(1, 2).reshape(s5.shape))
    p4 = ours.fpn_blocks[0](torch.cat((F.interpolate(f5, size=s4.shape[2:]), s4), 1))
    f4 = ours.lateral_convs[1](p4)
    p3 = ours.fpn_blocks[1](torch.cat((F.interpolate(f4, size=s3.shape[2:]), s3), 1))
    n4 = ours.pan_blocks[0](torch.cat((ours.downsample_convs[0](p3), f4), 1))
    n5 = ours.pan_blocks[1](torch.cat((ours.downsample_convs[1](n4), f5), 1))
    return p3, n4, n5


@pytest.mark.parametrize('size', [(8, 8), (9, 14), (5, 3)])
@pytest.mark.parametrize('expansion', [0.5, 1.0])
def test_agrees_with_reference(size, expansion):
    ours = neck(expansion=expansion)
    ours.train(False)
    maps = inputs(*size)
    outs = ours(maps)
    assert [x.shape[2:] for x in outs] == [x.shape[2:] for x in maps]
    assert all(torch.allclose(x, y, atol=1e-5) for x, y in zip(outs, reference(ours, maps)))


def test_merged_blocks_give_the_same_maps():
    ours = neck()
    ours(inputs())  # updates the running statistics
    ours.train(False)
    before, number = ours(inputs()), sum(p.numel() for p in ours.parameters())
    ours.merge()
    assert all(torch.allclose(x, y, atol=1e-5) for x, y in zip(ours(inputs()), before))
    # each of 12 blocks loses the 1x1 kernel and three of four vectors
    assert number - sum(p.numel() for p in ours.parameters()) == 12 * (8 * 8 + 3 * 8)


def test_zero_init_is_the_stock_neck():
    stock = neck()
    for ours in (neck(FINEHybridEncoder, zero_init=True), neck(FINEHybridEncoder, kernel_sizes=()),
                 neck(align_cfg=dict(type='FINE', zero_init=True))):
        missing, unexpected = ours.load_state_dict(stock.state_dict(), strict=False)
        assert not unexpected and all(key.startswith(('fine.', 'aligners.')) for key in missing)
        for training in (False, True):
            stock.train(training), ours.train(training)
            assert all(torch.equal(x, y) for x, y in zip(ours(inputs()), stock(inputs())))


def test_fine_aligns_both_top_down_fusions():
    ours, stock = neck(FINEHybridEncoder), neck()
    stock.load_state_dict({k: v for k, v in ours.state_dict().items() if not k.startswith('fine.')})
    ours.train(False), stock.train(False)
    assert [fine.kernel_size for fine in ours.fine] == [1, 2]
    maps = [project(x) for project, x in zip(ours.input_proj, inputs())]
    maps[2] = ours.attend(maps[2])
    f5 = ours.lateral_convs[0](maps[2])
    p4 = ours.fpn_blocks[0](torch.cat((ours.upsample(f5, maps[1]), ours.fine[0](maps[1], f5)), 1))
    f4 = ours.lateral_convs[1](p4)
    p3 = ours.fpn_blocks[1](torch.cat((ours.upsample(f4, maps[0]), ours.fine[1](maps[0], f4)), 1))
    expected = ours.bottom_up([p3, f4, f5])
    assert all(torch.allclose(x, y, atol=1e-6) for x, y in zip(ours(inputs()), expected))
    assert not torch.allclose(ours(inputs())[0], stock(inputs())[0], atol=1e-3)


def test_fine_cfg_reaches_the_layers():
    ours = neck(FINEHybridEncoder, kernel_sizes=(2, ), fine_cfg=dict(attention='linear', num_heads=2))
    assert len(ours.fine) == 1 and ours.fine[0].attention == 'linear' and ours.fine[0].num_heads == 2


def test_every_parameter_gets_a_gradient():
    ours = neck(FINEHybridEncoder)
    sum((x * torch.randn_like(x)).sum() for x in ours(inputs())).backward()
    assert all(p.grad is not None and p.grad.any() for p in ours.parameters())


@pytest.mark.parametrize('more', [
    dict(align_cfg=dict(type='SNI')), dict(align_cfg=dict(type='FaPNAlignment')),
    dict(align_cfg=dict(type='AdaFPNAlignment')), dict(kind=MGCHybridEncoder)], ids=str)
def test_baselines_load_stock_checkpoints_and_get_gradients(more):
    ours, stock = neck(**more), neck()
    missing, unexpected = ours.load_state_dict(stock.state_dict(), strict=False)
    assert not unexpected and all(key.startswith(('aligners.', 'mgc.')) for key in missing)
    outs = ours(inputs())
    assert [x.shape for x in outs] == [x.shape for x in stock(inputs())]
    assert not torch.allclose(outs[0], stock(inputs())[0], atol=1e-3)
    sum((x * torch.randn_like(x)).sum() for x in outs).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in ours.parameters())


def test_mgc_adds_context_to_the_input_maps():
    ours = neck(MGCHybridEncoder)
    ours.train(False)
    maps = ours.mgc(inputs(), [project(x) for project, x in zip(ours.input_proj, inputs())])
    maps[2] = ours.attend(maps[2])
    expected = ours.bottom_up(ours.top_down(maps))
    assert all(torch.equal(x, y) for x, y in zip(ours(inputs()), expected))


@pytest.mark.parametrize('kind', [RTDETRHybridEncoder, FINEHybridEncoder, MGCHybridEncoder])
def test_single_image_has_the_gradients_of_a_batch(kind):
    found = []
    for images in (slice(0, 2), slice(0, 1)):
        maps = [x[images].clone().requires_grad_() for x in inputs()]
        outs = neck(kind).eval()(maps)
        found.append(torch.autograd.grad(sum(x[:1].square().sum() for x in outs), maps))
    for batch, alone in zip(*found):
        assert torch.allclose(batch[:1], alone, rtol=1e-3, atol=1e-3 * batch.abs().max())


def test_works_with_two_levels():
    ours = RTDETRHybridEncoder(CHANNELS[:2], 16, encoder_cfg(16))
    assert len(ours(inputs()[:2])) == 2
