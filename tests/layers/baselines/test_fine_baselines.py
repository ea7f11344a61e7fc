"""The baselines in FINE's Table 2 against pixel-by-pixel references."""
import pytest
import torch
import torch.nn.functional as F
from deform_oracle import ReferenceDeformConv
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mmxattn.layers.baselines import MGC, SNI, AdaFPNAlignment, FaPNAlignment, FeatureSelection


def maps(channels, low, high, dtype=torch.double):
    torch.manual_seed(0)
    return torch.randn(2, channels, *low, dtype=dtype), torch.randn(2, channels, *high, dtype=dtype)


def fapn(channels, high_channels=None, **more):
    return FaPNAlignment(channels, high_channels, deform_conv=ReferenceDeformConv, **more)


def test_sni_divides_by_the_number_of_repetitions():
    low, high = maps(3, (6, 8), (3, 4))
    same, soft = SNI(3)(low, high)
    assert same is low
    assert torch.allclose(soft, high.repeat_interleave(2, 2).repeat_interleave(2, 3) / 4)
    assert not list(SNI(3).parameters())


def test_feature_selection_agrees_with_reference():
    layer = FeatureSelection(6, 4).double()
    x, _ = maps(6, (5, 7), (1, 1))
    z = x.flatten(2).mean(2)
    u = torch.sigmoid(z @ layer.importance.weight[:, :, 0, 0].T + layer.importance.bias)
    expected = torch.einsum('oc,bchw->bohw', layer.select.weight[:, :, 0, 0], x + u[:, :, None, None] * x)
    assert torch.allclose(layer(x), expected + layer.select.bias.view(1, -1, 1, 1))


@pytest.mark.parametrize('groups', [1, 2])
def test_fapn_starts_as_half_of_a_plain_convolution(groups):
    """Offsets are zero and masks sigmoid(0)."""
    layer = fapn(4, deform_groups=groups, select=False).double()
    low, high = maps(4, (9, 7), (5, 4))
    same, aligned = layer(low, high)
    up = F.interpolate(high, size=(9, 7), mode='bilinear')
    plain = F.conv2d(up, layer.align.weight, padding=1) / 2 + layer.align.bias.view(1, -1, 1, 1)
    assert same is low and torch.allclose(aligned, plain)


@pytest.mark.parametrize('axis', [0, 1])
def test_fapn_shifts_the_high_map_by_the_offsets(axis):
    """A constant offset of one pixel is a plain convolution of the map shifted by one."""
    layer = fapn(4, select=False).double()
    nn.init.constant_(layer.offsets.bias[9 * axis:9 * (axis + 1)], 1)
    nn.init.constant_(layer.offsets.bias[18:], 100)  # masks of 1
    low, high = maps(4, (8, 8), (4, 4))
    up = F.interpolate(high, size=(8, 8), mode='bilinear')
    moved = F.conv2d(up, layer.align.weight, layer.align.bias, padding=1).narrow(2 + axis, 1, 7)
    inner = layer(low, high)[1].narrow(2 + axis, 0, 7)
    assert torch.allclose(inner[:, :, :6, :6], moved[:, :, :6, :6])


def test_adafpn_agrees_with_reference():
    """Nine weighted bilinear samples per pixel, then the weights of the two maps."""
    layer = AdaFPNAlignment(2).double()
    torch.manual_seed(1)
    nn.init.normal_(layer.upsampling.predict.weight, std=0.3)
    low, high = maps(2, (5, 6), (3, 3))
    found_low, found_high = layer(low, high)
    predicted = layer.upsampling.predict(torch.cat((low, F.interpolate(high, size=(5, 6))), 1))
    up = torch.zeros_like(low)
    for b in range(2):
        for y in range(5):
            for x in range(6):
                weights = predicted[b, 18:, y, x].softmax(0)
                for k in range(9):
                    row = (y + 0.5) * 3 / 5 - 0.5 + k // 3 - 1 + predicted[b, 2 * k + 1, y, x]
                    column = (x + 0.5) * 3 / 6 - 0.5 + k % 3 - 1 + predicted[b, 2 * k, y, x]
                    up[b, :, y, x] += weights[k] * bilinear(high[b], row, column)
    weights = layer.attention(torch.cat((low, up), 1)).softmax(1)
    assert torch.allclose(found_low, low * weights[:, :1])
    assert torch.allclose(found_high, up * weights[:, 1:])


def bilinear(x, row, column):
    """Sample (C, H, W) at one point with border padding."""
    row, column = row.clamp(0, x.shape[1] - 1), column.clamp(0, x.shape[2] - 1)
    out = 0
    for i in {int(row), min(int(row) + 1, x.shape[1] - 1)}:
        for j in {int(column), min(int(column) + 1, x.shape[2] - 1)}:
            out = out + x[:, i, j] * (1 - (row - i).abs()) * (1 - (column - j).abs())
    return out


def test_mgc_agrees_with_reference():
    torch.manual_seed(0)
    sizes, in_channels, channels = [(6, 5), (3, 3), (2, 1)], [3, 6, 8], 4
    layer = MGC(in_channels, channels).double()
    inputs = [torch.randn(1, c, *size, dtype=torch.double) for c, size in zip(in_channels, sizes)]
    laterals = [torch.randn(1, channels, *size, dtype=torch.double) for size in sizes]
    descriptors = torch.zeros(channels, channels, dtype=torch.double)
    for attend, features, x in zip(layer.attend, layer.features, inputs):
        scores, values = attend(x)[0].flatten(1), features(x)[0].flatten(1)
        for d in range(channels):
            shares = scores[d].exp() / scores[d].exp().sum()
            descriptors[d] += (values * shares).sum(1) / len(sizes)
    descriptors = descriptors + layer.mix(descriptors)
    for i, (found, x) in enumerate(zip(layer(inputs, laterals), laterals)):
        shares = layer.read[i](x)[0].exp()
        shares = shares / shares.sum(0)
        taken = sum(shares[d] * descriptors[d].view(-1, 1, 1) for d in range(channels))
        assert torch.allclose(found, x + layer.out[i](taken[None]))


@given(st.sampled_from([SNI, AdaFPNAlignment, fapn]), st.integers(1, 9), st.integers(1, 9), st.integers(0, 9),
       st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_all_sizes_work_and_parameters_get_gradients(kind, height, width, more_rows, more_columns):
    low, high = maps(4, (height + more_rows, width + more_columns), (height, width), torch.float)
    layer = kind(4)
    low.requires_grad_()
    out = layer(low, high)
    assert [x.shape for x in out] == [low.shape] * 2
    sum(x.pow(2).sum() for x in out).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize('kind, count', [(AdaFPNAlignment, 1_304_861), (fapn, 915_227)])
def test_parameters_at_256_channels(kind, count):
    assert sum(p.numel() for p in kind(256).parameters()) == count


def test_parameters_of_mgc():
    """Table 2: Faster R-CNN +2.6M, RT-DETR +0.9M."""
    assert sum(p.numel() for p in MGC([256, 512, 1024, 2048], 256).parameters()) == 2_626_048
    assert sum(p.numel() for p in MGC([256] * 3, 256).parameters()) == 921_088


@pytest.mark.parametrize('kind', [AdaFPNAlignment, fapn])
def test_unequal_channels_are_refused(kind):
    with pytest.raises(ValueError, match='high_channels must equal channels, got 32 and 16'):
        kind(16, 32)


def test_mgc_refuses_missing_levels():
    with pytest.raises(ValueError, match='MGC: expected 2 maps'):
        MGC([4, 4], 4)([torch.randn(1, 4, 2, 2)], [torch.randn(1, 4, 2, 2)] * 2)
