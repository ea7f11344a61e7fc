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


def gold_masks(image=(13, 10), classes=5, batch=2):
    torch.manual_seed(1)
    labels = torch.randint(classes + 1, (batch, 1, *image))  # the last one is no class
    return (labels == torch.arange(classes).view(1, -1, 1, 1)).double()


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 9), st.integers(0, 9), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_both_orders_agree_with_the_paper_as_printed(height, width, more_rows, more_columns, patch_size):
    size = (height + more_rows, width + more_columns)
    layer = AFMA(6, 5, patch_size, hidden_channels=4).double()
    image, coarse, masks = inputs(size, (height, width))
    attention = oracles.afma(layer, image, coarse)
    literal = oracles.afma_modified(layer, attention, masks, coarse.shape[2:])
    assert torch.allclose(layer(image, coarse, masks), literal, rtol=1e-10, atol=1e-12)
    gold = gold_masks(size)
    difference = attention - oracles.afma_gold(layer, gold, coarse.shape[2:])
    loss = layer.loss(*layer.encode(image, coarse), gold)
    assert torch.allclose(loss, difference.square().mean(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('patch_size, coarse, product, gram', [
    (1, (16, 16), True, True), (2, (16, 16), True, True), (4, (16, 16), True, False), (8, (16, 16), False, False)])
def test_both_orders_are_taken(patch_size, coarse, product, gram):
    """What is not a map is as small as it can be: d*d x d*d, or N_I x N_F where that is less."""
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


def test_a_class_alone_is_told_by_its_own_maps():
    """Classes do not mix: other masks leave a class's correction as it is."""
    layer = AFMA(6, 5, 2).double()
    image, coarse, masks = inputs()
    before = layer(image, coarse, masks)
    masks[:, 1:] += 1
    assert torch.equal(layer(image, coarse, masks)[:, 0], before[:, 0])


def test_the_gold_attention_costs_nothing():
    layer = AFMA(6, 5).double()
    gold = gold_masks((12, 9))
    pooled = F.adaptive_avg_pool2d(gold, (4, 3))
    assert layer.loss(gold, pooled, gold) == pytest.approx(0, abs=1e-14)
    assert layer.loss(gold * 1.5, pooled, gold) > 1e-4


@pytest.mark.parametrize('patch_size', [1, 2, 4])
def test_gradients(patch_size):
    layer = AFMA(2, 2, patch_size, hidden_channels=2).double()
    torch.manual_seed(0)
    maps = [torch.randn(1, c, *size, dtype=torch.double, requires_grad=True)
            for c, size in ((3, (6, 5)), (2, (3, 3)), (2, (6, 5)))]
    gold = gold_masks((6, 5), 2, 1)

    def both(image, coarse, masks):
        classes = layer.encode(image, coarse)
        return layer.modify(masks, *classes), layer.loss(*classes, gold)

    assert torch.autograd.gradcheck(both, maps)
    both(*maps)[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in layer.parameters())


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_neither_overflows_nor_drifts(dtype):
    layer = AFMA(6, 5, 2)
    image, coarse, masks = inputs((128, 96), (16, 12), dtype=torch.float)
    gold = gold_masks((128, 96)).float()
    right, loss = layer(image, coarse, masks), layer.loss(*layer.encode(image, coarse), gold)
    with torch.autocast('cpu', dtype=dtype):
        out, half_loss = layer(image, coarse, masks), layer.loss(*layer.encode(image, coarse), gold)
    assert oracles.relative_error(out.double(), right.double()) < 8 * torch.finfo(dtype).eps
    assert half_loss.item() == pytest.approx(loss.item(), rel=16 * torch.finfo(dtype).eps)


def test_zero_init_is_the_identity_and_can_leave_it():
    layer = AFMA(6, 5, zero_init=True).double()
    image, coarse, masks = inputs()
    out = layer(image, coarse, masks)
    assert torch.equal(out, masks)
    out.square().sum().backward()
    assert layer.map_classes.weight.grad.any() and layer.map_classes.bias.grad.any()


def test_waits_for_no_device():
    layer = AFMA(6, 5).to('meta')
    maps = [x.to('meta') for x in inputs(dtype=torch.float)]
    layer(*maps).sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match='patch_size=0'):
        AFMA(6, 5, patch_size=0)
    layer = AFMA(6, 5).double()
    image, coarse, masks = inputs()
    with pytest.raises(ValueError, match=r'the image \(2, 2\) is smaller than the feature map \(4, 3\)'):
        layer(image[:, :, :2, :2], coarse, masks)
    with pytest.raises(ValueError, match=r"masks \(2, 5, 4, 3\) and the image's class maps \(2, 5, 13, 10\) differ"):
        layer(image, coarse, masks[:, :, :4, :3])
