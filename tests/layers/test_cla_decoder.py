import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmxattn.layers import CLADecoder
from mmxattn.layers.cla import cross_layer_attention_reference

CHANNELS = [3, 4, 6, 5]
EMBED = 7
SIZES = ((17, 13), (9, 7), (5, 4), (3, 2))
PAIRS = [((0, 3), ), ((1, 2), (0, 3)), ((1, 3), (0, 2)), ((2, 3), (1, 3), (0, 3)), ((2, 3), (1, 2), (0, 1)),
         ((0, 1), (0, 2), (0, 3), (0, 1))]


def make_levels(sizes=SIZES, dtype=torch.double):
    """Maps and embeddings of all levels."""
    torch.manual_seed(0)
    return [torch.randn(2, c, *size, dtype=dtype) for c, size in zip(CHANNELS, sizes)], [
        torch.randn(2, EMBED, *size, dtype=dtype) for size in sizes]


def make_decoder(*args, **kwargs):
    torch.manual_seed(1)
    return CLADecoder(CHANNELS, EMBED, *args, **kwargs).double()


def decoder_reference(decoder, maps, embeddings):
    """Sec. III-B as printed: embeddings are resized and concatenated before the convolution."""

    def conv(layer, *xs):
        return F.conv2d(torch.cat(xs, 1), layer.weight, layer.bias)

    out = None
    for block, (i, j) in zip(decoder, decoder.pairs):
        inputs = [embeddings[i], embeddings[j]] if out is None else [out, embeddings[i], embeddings[j]]
        resized = [F.interpolate(x, size=maps[i].shape[2:], mode='bilinear') for x in inputs]
        out = conv(block.conv, *resized)
        detail = cross_layer_attention_reference(block.cla, maps[i], maps[j], embeddings[j])
        out = out + detail if block.combine is None else conv(block.combine, out, detail)
    return out


@given(st.sampled_from(PAIRS), st.sampled_from([1, 2, 4, 8]), st.booleans(), st.sampled_from(['add', 'cat']),
       st.sampled_from([SIZES, ((16, 16), (8, 8), (4, 4), (2, 2)), ((7, 1), (7, 1), (2, 1), (1, 1))]))
@settings(max_examples=40, deadline=None)
def test_matches_reference(pairs, patch_size, normalisation, combination, sizes):
    decoder = make_decoder(pairs, patch_size, normalisation, combination)
    maps, embeddings = make_levels(sizes)
    expected = decoder_reference(decoder, maps, embeddings)
    assert expected.shape == (2, EMBED, *sizes[0])
    assert torch.allclose(decoder(maps, embeddings), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize('combination', ['add', 'cat'])
@pytest.mark.parametrize('normalisation', [True, False])
@pytest.mark.parametrize('pairs', PAIRS[:4])
def test_every_parameter_gets_a_gradient(pairs, normalisation, combination):
    decoder = make_decoder(pairs, normalisation=normalisation, combination=combination)
    decoder(*make_levels()).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in decoder.parameters())


@pytest.mark.parametrize('combination', ['add', 'cat'])
def test_zero_output_is_trainable(combination):
    decoder = make_decoder(combination=combination)
    decoder.zero_output()
    before = [p.clone() for p in decoder.parameters()]
    optimizer = torch.optim.SGD(decoder.parameters(), lr=0.1)
    assert not decoder(*make_levels()).any()
    for _ in range(3):
        optimizer.zero_grad()
        (decoder(*make_levels()) - 1).square().mean().backward()
        optimizer.step()
    assert not [name for (name, p), old in zip(decoder.named_parameters(), before) if torch.equal(p, old)]


def test_state_dict_keys():
    keys = {f'{i}.{layer}.{kind}' for i in (0, 1) for layer in ('conv', 'cla.project', 'cla.mix')
            for kind in ('weight', 'bias')}
    assert set(make_decoder().state_dict()) == keys
    combine = {f'{i}.combine.{kind}' for i in (0, 1) for kind in ('weight', 'bias')}
    assert set(make_decoder(combination='cat').state_dict()) == keys | combine


@pytest.mark.parametrize('kwargs, message', [
    (dict(pairs=((2, 1), (0, 3))), r'got \(2, 1\) for 4 levels'),
    (dict(pairs=((1, 4), (0, 3))), r'got \(1, 4\) for 4 levels'),
    (dict(pairs=((1, 2, 3), (0, 3))), r'got \(1, 2, 3\) for 4 levels'),
    (dict(pairs=((0, 3), (1, 2))), 'must contain level 0'),
    (dict(pairs=()), 'must contain level 0'),
    (dict(combination='mul'), "got 'mul'"),
])
def test_invalid_arguments_are_rejected(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make_decoder(**kwargs)
