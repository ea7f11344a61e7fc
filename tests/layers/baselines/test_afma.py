import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles
from mmxattn.layers.baselines import AFMA


def inputs(image=(13, 10), coarse=(4, 3), classes=5, dtype=torch.double, batch=2):
    torch.manual_seed(0)
    return (torch.randn(batch, 3, *image, dtype=dtype), torch.randn(batch, 6, *coarse, dtype=dtype),
            torch.randn(batch, classes, *image, dtype=dtype))


def target_masks(image=(13, 10), classes=5, batch=2):
    torch.manual_seed(1)
    labels = torch.randint(classes + 1, (batch, 1, *image))  # the last one is ignored
    return (labels == torch.arange(classes).view(1, -1, 1, 1)).double()


def patches(x, d):
    """(B, C, H, W) -> (B, C, N, d*d), zero-padded."""
    height, width = x.shape[2:]
    x = F.pad(x, (0, -width % d, 0, -height % d))
    return F.unfold(x.flatten(0, 1).unsqueeze(1), d, stride=d).transpose(1, 2).unflatten(0, x.shape[:2])


def attention(image_classes, map_classes, d):
    """Across feature map attention A: (B, N_c, N_I, N_F)."""
    return patches(image_classes, d) @ patches(map_classes, d).transpose(2, 3) / d**2


def corrected(correlation, masks, size, d):
    """M + A phi(pool(M)) / N_F, folded back to the size of the masks."""
    value = patches(F.adaptive_avg_pool2d(masks, size), d)
    height, width = masks.shape[2:]
    x = (correlation @ value / value.shape[2]).transpose(2, 3).flatten(0, 1)  # (B*N_c, d*d, N_I)
    x = F.fold(x, (height + -height % d, width + -width % d), d, stride=d)
    return masks + x[:, 0, :height, :width].unflatten(0, masks.shape[:2])


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 9), st.integers(0, 9), st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_agrees_with_reference(height, width, more_rows, more_columns, patch_size):
    size = (height + more_rows, width + more_columns)
    layer = AFMA(6, 5, patch_size, hidden_channels=4).double()
    image, coarse, masks = inputs(size, (height, width))
    classes = layer.encode(image, coarse)
    correlation = attention(*classes, patch_size)
    expected = corrected(correlation, masks, (height, width), patch_size)
    assert torch.allclose(layer(image, coarse, masks), expected, rtol=1e-10, atol=1e-12)
    target = target_masks(size)
    difference = correlation - attention(target, F.adaptive_avg_pool2d(target, (height, width)), patch_size)
    loss = layer.loss(*classes, target)
    assert torch.allclose(loss, difference.square().mean(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('patch_size, coarse, product, gram', [
    (1, (16, 16), True, True), (2, (16, 16), True, True), (4, (16, 16), True, False), (8, (16, 16), False, False)])
def test_cheaper_order_of_products_is_chosen(patch_size, coarse, product, gram):
    """Intermediate products are d*d x d*d, or N_I x N_F if that is smaller."""
    layer = AFMA(6, 2, patch_size, hidden_channels=4)
    image, feature_map, masks = inputs((64, 96), coarse, classes=2, dtype=torch.float)
    num_image, num_map = 64 * 96 // patch_size**2, (coarse[0] // patch_size)**2

    def products(function):
        shapes = []

        class Record(torch.overrides.TorchFunctionMode):

            def __torch_function__(self, function, types, args=(), kwargs=None):
                out = function(*args, **(kwargs or {}))
                if function in (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__):
                    shapes.append(tuple(out.shape[2:]))
                return out

        with Record():
            function()
        return shapes

    classes = layer.encode(image, feature_map)
    small = (patch_size**2, patch_size**2)
    assert (small in products(lambda: layer.modify(masks, *classes))) == product
    assert (products(lambda: layer.loss(*classes, masks)) == [(num_image, num_map)]) == (not gram)


def test_classes_do_not_mix():
    layer = AFMA(6, 5, 2).double()
    image, coarse, masks = inputs()
    before = layer(image, coarse, masks)
    masks[:, 1:] += 1
    assert torch.equal(layer(image, coarse, masks)[:, 0], before[:, 0])


def test_loss_of_the_target_attention_is_zero():
    layer = AFMA(6, 5).double()
    target = target_masks((12, 9))
    pooled = F.adaptive_avg_pool2d(target, (4, 3))
    assert layer.loss(target, pooled, target) == pytest.approx(0, abs=1e-14)
    assert layer.loss(target * 1.5, pooled, target) > 1e-4


@pytest.mark.parametrize('patch_size', [1, 2, 4])
def test_gradients_match_finite_differences(patch_size):
    layer = AFMA(2, 2, patch_size, hidden_channels=2).double()
    torch.manual_seed(0)
    maps = [torch.randn(1, c, *size, dtype=torch.double, requires_grad=True)
            for c, size in ((3, (6, 5)), (2, (3, 3)), (2, (6, 5)))]
    target = target_masks((6, 5), 2, 1)

    def both(image, coarse, masks):
        classes = layer.encode(image, coarse)
        return layer.modify(masks, *classes), layer.loss(*classes, target)

    assert torch.autograd.gradcheck(both, maps)
    both(*maps)[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in layer.parameters())


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_accurate(dtype):
    layer = AFMA(6, 5, 2)
    image, coarse, masks = inputs((128, 96), (16, 12), dtype=torch.float)
    target = target_masks((128, 96)).float()
    right, loss = layer(image, coarse, masks), layer.loss(*layer.encode(image, coarse), target)
    with torch.autocast('cpu', dtype=dtype):
        out, half_loss = layer(image, coarse, masks), layer.loss(*layer.encode(image, coarse), target)
    assert oracles.relative_error(out.double(), right.double()) < 8 * torch.finfo(dtype).eps
    assert half_loss.item() == pytest.approx(loss.item(), rel=16 * torch.finfo(dtype).eps)


def test_zero_init_is_the_identity_with_a_gradient():
    layer = AFMA(6, 5, zero_init=True).double()
    image, coarse, masks = inputs()
    out = layer(image, coarse, masks)
    assert torch.equal(out, masks)
    out.square().sum().backward()
    assert layer.map_classes.weight.grad.any() and layer.map_classes.bias.grad.any()


def test_does_not_synchronize_with_the_device():
    layer = AFMA(6, 5).to('meta')
    maps = [x.to('meta') for x in inputs(dtype=torch.float)]
    layer(*maps).sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


def test_inputs_that_do_not_fit_are_refused():
    layer = AFMA(6, 5).double()
    image, coarse, masks = inputs()
    with pytest.raises(ValueError, match=r'image must be at least as large as feature_map, got \(2, 2\) and \(4, 3\)'):
        layer(image[:, :, :2, :2], coarse, masks)
    with pytest.raises(ValueError, match=r'got \(2, 5, 4, 3\) and \(2, 5, 13, 10\). Resize the masks'):
        layer(image, coarse, masks[:, :, :4, :3])
