import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles
from mmxattn.layers import CLADecoder

CHANNELS = [3, 4, 6, 5]
EMBED = 7
SIZES = ((17, 13), (9, 7), (5, 4), (3, 2))
PAIRS = [((0, 3), ), ((1, 2), (0, 3)), ((1, 3), (0, 2)), ((2, 3), (1, 3), (0, 3)), ((2, 3), (1, 2), (0, 1)),
         ((0, 1), (0, 2), (0, 3), (0, 1))]


def levels(sizes=SIZES, dtype=torch.double):
    torch.manual_seed(0)
    return [torch.randn(2, c, *size, dtype=dtype) for c, size in zip(CHANNELS, sizes)], [
        torch.randn(2, EMBED, *size, dtype=dtype) for size in sizes]


def decoder(*args, **more):
    torch.manual_seed(1)
    return CLADecoder(CHANNELS, EMBED, *args, **more).double()


def as_printed(blocks, maps, embeddings):
    """Sec. III-B, block by block: maps are concatenated as they are, and correlations made."""

    def conv(layer, *xs):
        return F.conv2d(torch.cat(xs, 1), layer.weight, layer.bias)

    x = None
    for block, (i, j) in zip(blocks, blocks.pairs):
        size = maps[i].shape[2:]
        parts = [F.interpolate(y, size=size, mode='bilinear') for y in (x, embeddings[i], embeddings[j])
                 if y is not None]
        x, detail = conv(block.conv, *parts), oracles.cla(block.cla, maps[i], maps[j], embeddings[j])
        x = x + detail if block.combine is None else conv(block.combine, x, detail)
    return x


@given(st.sampled_from(PAIRS), st.sampled_from([1, 2, 4, 8]), st.booleans(), st.sampled_from(['add', 'cat']),
       st.sampled_from([SIZES, ((16, 16), (8, 8), (4, 4), (2, 2)), ((7, 1), (7, 1), (2, 1), (1, 1))]))
@settings(max_examples=40, deadline=None)
def test_every_option_agrees_with_the_paper_as_printed_in_either_order(pairs, patch_size, normalisation, combination,
                                                                      sizes):
    blocks = decoder(pairs, patch_size, normalisation, combination)
    maps, embeddings = levels(sizes)
    literal = as_printed(blocks, maps, embeddings)
    assert literal.shape == (2, EMBED, *sizes[0])
    assert torch.allclose(blocks(maps, embeddings), literal, rtol=1e-9, atol=1e-10)
    for aggregates_first in (True, False):
        for block in blocks:
            block.cla.aggregates_first = lambda *_, choice=aggregates_first: choice
        assert torch.allclose(blocks(maps, embeddings), literal, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize('combination', ['add', 'cat'])
@pytest.mark.parametrize('normalisation', [True, False])
@pytest.mark.parametrize('pairs', PAIRS[:4])
def test_every_parameter_learns(pairs, normalisation, combination):
    blocks = decoder(pairs, normalisation=normalisation, combination=combination)
    blocks(*levels()).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in blocks.parameters())


@pytest.mark.parametrize('combination', ['add', 'cat'])
def test_an_output_of_zero_can_be_left(combination):
    blocks = decoder(combination=combination)
    blocks.zero_output()
    before = [p.clone() for p in blocks.parameters()]
    optimizer = torch.optim.SGD(blocks.parameters(), lr=0.1)
    assert not blocks(*levels()).any()
    for _ in range(3):
        optimizer.zero_grad()
        (blocks(*levels()) - 1).square().mean().backward()
        optimizer.step()
    assert not [name for (name, p), old in zip(blocks.named_parameters(), before) if torch.equal(p, old)]


def test_concatenation_adds_one_convolution_a_block():
    added, concatenated = (sum(p.numel() for p in decoder(combination=c).parameters()) for c in ('add', 'cat'))
    assert concatenated - added == 2 * (2 * EMBED**2 + EMBED)
    assert set(decoder().state_dict()) < set(decoder(combination='cat').state_dict())


def test_what_was_saved_before_there_were_options_still_loads():
    names = {name.split('.', 1)[1] for name in decoder().state_dict()}
    assert names == {f'{part}.{kind}' for part in ('conv', 'cla.project', 'cla.mix') for kind in ('weight', 'bias')}


@pytest.mark.parametrize('arguments, message', [
    (dict(pairs=((2, 1), (0, 3))), r'pair \(2, 1\) in pairs'),
    (dict(pairs=((1, 4), (0, 3))), r'pair \(1, 4\) in pairs'),
    (dict(pairs=((1, 2, 3), (0, 3))), r'pair \(1, 2, 3\) in pairs'),
    (dict(pairs=((0, 3), (1, 2))), 'must hold level 0'),
    (dict(pairs=()), 'must hold level 0'),
    (dict(combination='mul'), r"combination='mul' is none of \('add', 'cat'\)"),
    (dict(patch_size=0), 'patch_size=0'),
])
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        decoder(**arguments)
