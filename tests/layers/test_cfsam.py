import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmxattn.layers import CFSAM
from mmxattn.layers.cfsam import interpolate
from mmxattn.profiling.memory import peak_memory


def make_maps(channels, sizes, batch=2, dtype=torch.float):
    torch.manual_seed(0)
    return [torch.randn(batch, c, *size, dtype=dtype) for c, size in zip(channels, sizes)]


def small_cfsam(in_channels=(8, 12), **kwargs):
    return CFSAM(in_channels, **{**dict(channels=8, depth=2, num_heads=2), **kwargs})


def pytorch_block(block):
    """nn.TransformerEncoderLayer with the weights of one of our blocks."""
    hidden, channels = block.mlp[0].weight.shape
    layer = nn.TransformerEncoderLayer(channels, block.num_heads, hidden, dropout=0, activation=F.silu,
                                       batch_first=True, norm_first=True).double()
    renamed = {'qkv.weight': 'self_attn.in_proj_weight', 'proj.weight': 'self_attn.out_proj.weight',
               'proj.bias': 'self_attn.out_proj.bias', 'mlp.0.weight': 'linear1.weight', 'mlp.0.bias': 'linear1.bias',
               'mlp.2.weight': 'linear2.weight', 'mlp.2.bias': 'linear2.bias'}
    state = {renamed.get(key, key): value for key, value in block.state_dict().items()}
    layer.load_state_dict({**state, 'self_attn.in_proj_bias': torch.zeros(3 * channels)})
    return layer


@pytest.mark.parametrize('parts', [1, 3, 7])
@pytest.mark.parametrize('stages', ['local', 'local+global', 'all'])
def test_matches_pytorch_transformer_layers(stages, parts):
    """21 tokens, which all numbers of parts divide."""
    layer = small_cfsam(num_parts=parts, stages=stages).double()
    maps = make_maps((8, 12), [(5, 3), (3, 2)], dtype=torch.double)
    local = [extract.conv1x1(extract.act(extract.norm(extract.conv3x3(x)))) for extract, x in zip(layer.local, maps)]
    tokens = torch.cat([x.flatten(2) for x in local], 2).transpose(1, 2)
    if stages != 'local':
        mixed = torch.empty_like(tokens)
        for part in range(parts):
            x = tokens[:, part::parts]
            for block in layer.blocks:
                x = pytorch_block(block)(x)
            mixed[:, part::parts] = x
        tokens = layer.fusion(torch.cat((tokens, mixed), 2)) if stages == 'all' else mixed
    first, second = tokens.transpose(1, 2).split([15, 6], dim=2)
    expected = [first.reshape(2, 8, 5, 3), layer.restore[1](second.reshape(2, 8, 3, 2))]
    assert all(torch.allclose(x, y, atol=1e-12) for x, y in zip(layer(maps), expected))


@pytest.mark.parametrize('length, new_length', [(7, 8), (8, 7), (1, 5), (5, 1), (6, 6), (1000, 1024)])
def test_interpolate_matches_pytorch(length, new_length):
    torch.manual_seed(0)
    tokens = torch.randn(2, length, 3, dtype=torch.double)
    expected = F.interpolate(tokens.transpose(1, 2), size=new_length, mode='linear').transpose(1, 2)
    assert torch.allclose(interpolate(tokens, new_length), expected, atol=1e-12)


def test_indivisible_length_is_interpolated_and_back():
    layer = small_cfsam(num_parts=2, stages='local+global').double()
    layer.blocks = nn.Identity()
    tokens = torch.randn(1, 7, 8, dtype=torch.double)
    assert torch.allclose(layer.mix_levels(tokens), interpolate(interpolate(tokens, 8), 7))


def test_levels_exchange_information():
    layer = small_cfsam().eval()
    maps = make_maps((8, 12), [(6, 6), (3, 3)])
    assert not torch.allclose(layer(maps)[1], layer([maps[0] + 1, maps[1]])[1])


@pytest.mark.parametrize('stages, absent', [('local', ('blocks', 'fusion')), ('local+global', ('fusion', )),
                                            ('all', ())])
def test_unused_stages_have_no_parameters(stages, absent):
    layer = small_cfsam(stages=stages)
    assert {key.split('.')[0] for key in layer.state_dict()} == {'local', 'blocks', 'fusion', 'restore'} - set(absent)
    sum(x.sum() for x in layer(make_maps((8, 12), [(5, 4), (3, 2)]))).backward()
    assert all(p.grad is not None for p in layer.parameters())


@pytest.mark.parametrize('tokens, parts', [(1, 1), (2, 2), (1940, 2), (2048, 2), (2049, 3), (89_523, 88)])
def test_tokens_per_part_limits_parts(tokens, parts):
    assert small_cfsam(tokens_per_part=1024).parts_of(tokens) == parts


@pytest.mark.parametrize('grad', [True, False])
def test_memory_is_linear_in_tokens(grad):
    layer = small_cfsam((8, ), tokens_per_part=64)

    def bytes_per_token(side):
        maps = [torch.randn(1, 8, side, side, requires_grad=grad)]

        def step():
            with torch.set_grad_enabled(grad):
                out = layer(maps)[0]
            if grad:
                out.sum().backward()

        return peak_memory(step, 'cpu') / side**2

    assert bytes_per_token(128) < 1.1 * bytes_per_token(64)


def test_single_value_per_channel_uses_running_statistics():
    layer = small_cfsam((8, ))
    norm = layer.local[0].norm
    before = norm.running_mean.clone()
    layer(make_maps((8, ), [(1, 1)], batch=1))[0].sum().backward()
    assert torch.equal(norm.running_mean, before)
    assert norm.weight.grad is not None


@pytest.mark.parametrize('norm, act', [(None, nn.ReLU), (nn.BatchNorm2d, nn.GELU),
                                       (lambda c: nn.GroupNorm(4, c), nn.SiLU)])
def test_custom_norm_and_activation(norm, act):
    layer = small_cfsam(norm=norm, act=act)
    assert (layer.local[0].conv3x3.bias is None) == (norm is not None)
    assert isinstance(layer.local[0].act, act) and isinstance(layer.blocks[0].mlp[1], act)
    sum(x.sum() for x in layer(make_maps((8, 12), [(5, 4), (3, 2)]))).backward()
    assert all(p.grad is not None for p in layer.parameters())


def test_zero_init_is_identity_and_trainable():
    layer = small_cfsam(residual=True, zero_init=True)
    maps = make_maps((8, 12), [(6, 5), (3, 3)])
    outs = layer(maps)
    assert all(torch.equal(x, y) for x, y in zip(maps, outs))
    sum(x.pow(2).sum() for x in outs).backward()
    assert layer.fusion.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('kwargs, message', [
    (dict(channels=10, num_heads=4), 'num_heads=4'),
    (dict(zero_init=True), 'residual=True'),
    (dict(zero_init=True, residual=True, stages='local+global'), "stages='local\\+global'"),
    (dict(stages='global'), "got 'global'"),
])
def test_invalid_arguments_are_rejected(kwargs, message):
    with pytest.raises(ValueError, match=message):
        small_cfsam(**kwargs)


def test_wrong_number_of_levels_is_rejected():
    with pytest.raises(ValueError, match='expected 2 maps'):
        small_cfsam()(make_maps((8, ), [(3, 3)]))
