import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import oracles
from mmxattn.layers import CFSAM, cfsam
from mmxattn.profiling.memory import peak_memory


def pyramid(channels, sizes, batch=2, dtype=torch.float):
    torch.manual_seed(0)
    return [torch.randn(batch, c, *size, dtype=dtype) for c, size in zip(channels, sizes)]


def small(in_channels=(8, 12), **arguments):
    return CFSAM(in_channels, **{**dict(channels=8, depth=2, num_heads=2), **arguments})


@given(st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), min_size=1, max_size=4), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_keeps_shapes_and_reaches_every_level(sizes, parts):
    channels = [4 * (i + 1) for i in range(len(sizes))]
    layer = small(channels, num_parts=parts).eval()
    maps = pyramid(channels, sizes)
    assert [x.shape for x in layer(maps)] == [x.shape for x in maps]


@pytest.mark.parametrize('parts', [1, 2, 3, 4])
def test_attention_runs_within_parts_as_printed(parts):
    layer = small(num_parts=parts).double()
    tokens = torch.randn(2, 12 * parts, 8, dtype=torch.double)
    assert torch.allclose(layer.global_features(tokens), oracles.cfsam_global(layer, tokens, parts), atol=1e-12)


def test_a_length_that_parts_do_not_divide_is_interpolated_and_back():
    layer = small(num_parts=2).double()
    layer.blocks = nn.Identity()
    tokens = torch.randn(1, 7, 8, dtype=torch.double)
    up = nn.functional.interpolate(tokens.transpose(1, 2), size=8, mode='linear')
    back = nn.functional.interpolate(up, size=7, mode='linear').transpose(1, 2)
    assert torch.allclose(layer.global_features(tokens), back)


def test_what_one_level_sees_reaches_the_others():
    layer = small().eval()
    maps = pyramid((8, 12), [(6, 6), (3, 3)])
    before = layer(maps)[1]
    after = layer([maps[0] + 1, maps[1]])[1]
    assert not torch.allclose(before, after)


@pytest.mark.parametrize('stages', ['local', 'local+global', 'all'])
def test_stages_as_printed(stages):
    """Eq. 1, then Eq. 2 to 4, then Eq. 5, as far as Table 5's row goes; 21 tokens, in three parts."""
    layer = small(num_parts=3, stages=stages).double()
    maps = pyramid((8, 12), [(5, 3), (3, 2)], dtype=torch.double)
    local = [extract.conv1x1(extract.act(extract.norm(extract.conv3x3(x)))) for extract, x in zip(layer.local, maps)]
    tokens = torch.cat([x.flatten(2) for x in local], 2).transpose(1, 2)
    if stages != 'local':
        after = oracles.cfsam_global(layer, tokens, parts=3)
        tokens = layer.fusion(torch.cat((tokens, after), 2)) if stages == 'all' else after
    first, second = tokens.transpose(1, 2).split([15, 6], dim=2)
    expected = [first.reshape(2, 8, 5, 3), layer.restore[1](second.reshape(2, 8, 3, 2))]
    assert all(torch.allclose(x, y, atol=1e-12) for x, y in zip(layer(maps), expected))


@pytest.mark.parametrize('stages, absent', [('local', ('blocks', 'fusion')), ('local+global', ('fusion', )),
                                            ('all', ())])
def test_stages_that_are_not_there_have_no_parameters(stages, absent):
    layer = small(stages=stages)
    assert {key.split('.')[0] for key in layer.state_dict()} == {'local', 'blocks', 'fusion', 'restore'} - set(absent)
    sum(x.sum() for x in layer(pyramid((8, 12), [(5, 4), (3, 2)]))).backward()
    assert all(p.grad is not None for p in layer.parameters())


@pytest.mark.parametrize('tokens, parts', [(1, 1), (2, 2), (1940, 2), (2048, 2), (2049, 3), (89_523, 88)])
def test_parts_grow_with_the_image(tokens, parts):
    assert small(tokens_per_part=1024).parts(tokens) == parts


@pytest.mark.parametrize('at_once', [1, 9, 20, 10**6])
def test_parts_in_any_portions(at_once, monkeypatch):
    layer = small(num_parts=5).double()
    tokens = torch.randn(2, 44, 8, dtype=torch.double)
    right = layer.global_features(tokens)
    monkeypatch.setattr(cfsam, 'TOKENS_AT_ONCE', at_once)
    assert torch.allclose(layer.global_features(tokens), right, atol=1e-12)


@pytest.mark.parametrize('at_once', [1, 9, 20, 10**6])
@pytest.mark.parametrize('stages', ['local', 'local+global', 'all'])
def test_inference_in_pieces_is_the_same(at_once, stages, monkeypatch):
    layer, maps = small(num_parts=5, stages=stages).double(), pyramid((8, 12), [(7, 5), (3, 3)], dtype=torch.double)
    given, right = [x.clone() for x in maps], layer(maps)
    monkeypatch.setattr(cfsam, 'TOKENS_AT_ONCE', at_once)
    with torch.no_grad():
        assert all(torch.allclose(x, y, atol=1e-12) for x, y in zip(layer(maps), right))
    assert all(map(torch.equal, maps, given))


def test_inference_needs_less_memory_than_its_longest_tensors_together():
    layer, maps = small((8, ), tokens_per_part=64, depth=1), [torch.randn(1, 8, 256, 256)]

    def infer():
        with torch.no_grad():
            layer(maps)

    assert peak_memory(infer, 'cpu') < 4.5 * maps[0].nbytes


def test_memory_grows_with_the_tokens():
    layer = small((8, ), tokens_per_part=64)

    def bytes_per_token(side):
        maps = [torch.randn(1, 8, side, side, requires_grad=True)]
        return peak_memory(lambda: layer(maps)[0].sum().backward(), 'cpu') / side**2

    assert bytes_per_token(128) < 1.1 * bytes_per_token(64)


def test_one_value_a_channel_trains_with_running_statistics():
    layer = small((8,))
    assert layer.training
    x = pyramid((8,), [(1, 1)], batch=1)
    norm = layer.local[0].norm
    before = norm.running_mean.clone()
    layer(x)[0].sum().backward()
    assert torch.equal(norm.running_mean, before)
    assert norm.weight.grad is not None


@pytest.mark.parametrize('norm, act', [(None, nn.ReLU), (nn.BatchNorm2d, nn.GELU),
                                       (lambda c: nn.GroupNorm(4, c), nn.SiLU)])
def test_norm_and_activation_as_given(norm, act):
    layer = small(norm=norm, act=act)
    assert (layer.local[0].conv3x3.bias is None) == (norm is not None)
    out = layer(pyramid((8, 12), [(5, 4), (3, 2)]))
    sum(x.sum() for x in out).backward()
    assert all(p.grad is not None for p in layer.parameters())


def test_zero_init_is_the_identity_and_can_leave_it():
    layer = small(residual=True, zero_init=True)
    maps = pyramid((8, 12), [(6, 5), (3, 3)])
    out = layer(maps)
    assert all(torch.equal(x, y) for x, y in zip(maps, out))
    sum(x.pow(2).sum() for x in out).backward()
    assert layer.fusion.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('arguments, message', [
    (dict(in_channels=()), 'in_channels is empty'),
    (dict(channels=10, num_heads=4), 'channels=10 is not divisible by num_heads=4'),
    (dict(num_parts=0), 'num_parts=0'),
    (dict(tokens_per_part=0), 'tokens_per_part=0'),
    (dict(zero_init=True), 'residual=True'),
    (dict(zero_init=True, residual=True, stages='local+global'), "stages='all', not True and 'local.global'"),
    (dict(stages='global'), "stages='global' is none of"),
])
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)


def test_wrong_levels_are_named():
    with pytest.raises(ValueError, match=r'got 1 levels of channels \(8,\)'):
        small()(pyramid((8,), [(3, 3)]))
