"""Activations that are computed again in the backward pass: the same loss and gradients, in each part and its host."""
import copy

import pytest
import torch
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing
from small_hosts import NEW, PARTS, recipe
from torch.utils.checkpoint import checkpoint

import recipes
from mmxattn.layers import CFSAM, FINE, SCSA, CrossLayerAttention


def loss_and_gradients(model, batch):
    model.zero_grad()
    torch.manual_seed(0)
    loss = recipes.loss(model, copy.deepcopy(batch))
    loss.backward()
    return [loss.detach(), *(p.grad.clone() for p in model.parameters() if p.requires_grad)]


def same(one, other):
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other))


@pytest.fixture
def forwards(monkeypatch):
    """Counts the forward passes of a class."""
    counts = {}

    def count(kind):
        forward = kind.forward

        def counted(self, *args, **kwargs):
            counts[kind.__name__] = counts.get(kind.__name__, 0) + 1
            return forward(self, *args, **kwargs)

        monkeypatch.setattr(kind, 'forward', counted)
        return counts

    return count


@pytest.mark.parametrize('part', PARTS)
def test_the_recipes_key_on_each_part(part, forwards):
    cfg = recipe(part)
    model = recipes.build(cfg)
    batch = recipes.inputs(cfg, model, [(96, 64)] * 2)
    names = [name for name, module in model.named_modules() if type(module).__name__ == NEW[part][-1]]
    kind = type(model.get_submodule(names[0]))
    plain = loss_and_gradients(model, batch)
    counts = forwards(kind)
    turn_on_activation_checkpointing(model, names)  # what `activation_checkpointing = [...]` in a recipe does
    again = loss_and_gradients(model, batch)
    assert counts[kind.__name__] == 2 * len(names)  # once more in the backward pass
    assert same(plain, again)


def test_with_cp_of_a_resnet_with_scsa(forwards):
    cfg = recipe('scsa')
    model = recipes.build(cfg)
    batch = recipes.inputs(cfg, model, [(96, 64)] * 2)
    plain = loss_and_gradients(model, batch)
    counts = forwards(SCSA)
    cfg.model.backbone.with_cp = True
    checkpointed = recipes.build(cfg)
    checkpointed.load_state_dict(model.state_dict())
    again = loss_and_gradients(checkpointed, batch)
    blocks = sum(isinstance(module, SCSA) for module in checkpointed.modules())
    assert blocks < counts['SCSA'] <= 2 * blocks  # the first block's input needs no gradient: old torch leaves it
    for one, other in zip(plain, again, strict=True):  # the two ways into a block are summed in another order
        assert (one - other).abs().max() <= 1e-4 * one.abs().max()


LAYERS = {
    'fine': (lambda: FINE(32), lambda r: (r(2, 32, 13, 10), r(2, 32, 7, 5))),
    'cfsam': (lambda: CFSAM([16, 32], channels=32, depth=2), lambda r: (r(2, 16, 9, 7), r(2, 32, 5, 4))),
    'scsa': (lambda: SCSA(32), lambda r: (r(2, 32, 13, 9),)),
    'cla': (lambda: CrossLayerAttention(16, 32, 8, patch_size=2),
            lambda r: (r(2, 16, 12, 8), r(2, 32, 6, 4), r(2, 8, 6, 4))),
}


@pytest.mark.parametrize('reentrant', [False, True])
@pytest.mark.parametrize('part', LAYERS)
def test_around_each_layer(part, reentrant):
    build, maps = LAYERS[part]
    torch.manual_seed(0)
    layer = build()
    given = maps(lambda *shape: torch.randn(*shape, requires_grad=True))

    def run(*x):
        return tuple(layer(list(x))) if part == 'cfsam' else layer(*x)  # a reentrant one knows no lists

    def loss_and_gradients(outs):
        for leaf in (*given, *layer.parameters()):
            leaf.grad = None
        outs = outs if isinstance(outs, tuple) else [outs]
        loss = sum(out.square().mean() for out in outs)
        loss.backward()
        return [loss.detach(), *(leaf.grad for leaf in (*given, *layer.parameters()))]

    assert same(loss_and_gradients(run(*given)),
                loss_and_gradients(checkpoint(run, *given, use_reentrant=reentrant)))
