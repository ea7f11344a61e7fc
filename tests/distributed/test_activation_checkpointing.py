"""Activation checkpointing gives the same loss and gradients, in each layer and in its host."""
import copy

import pytest
import torch
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing
from small_models import CLASSES, MODULES, small_config
from torch.utils.checkpoint import checkpoint

import recipes
from mmxattn.layers import CFSAM, FINE, SCSA, CrossLayerAttention


def loss_and_gradients(model, batch):
    model.zero_grad()
    torch.manual_seed(0)
    loss = recipes.loss(model, copy.deepcopy(batch))
    loss.backward()
    return [loss.detach(), *(p.grad.clone() for p in model.parameters() if p.requires_grad)]


def assert_equal(one, other):
    assert len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other))


def count_forward_passes(monkeypatch, cls):
    calls, forward = [], cls.forward
    monkeypatch.setattr(cls, 'forward', lambda self, *args: (calls.append(self), forward(self, *args))[1])
    return calls


@pytest.mark.parametrize('module', MODULES)
def test_activation_checkpointing_by_config(module, monkeypatch):
    config = small_config(module)
    model = recipes.build(config)
    batch = recipes.inputs(config, model, [(96, 64)] * 2)
    names = [name for name, child in model.named_modules() if type(child).__name__ == CLASSES[module][-1]]
    expected = loss_and_gradients(model, batch)
    calls = count_forward_passes(monkeypatch, type(model.get_submodule(names[0])))
    turn_on_activation_checkpointing(model, names)
    actual = loss_and_gradients(model, batch)
    assert len(calls) == 2 * len(names)  # again in the backward pass
    assert_equal(actual, expected)


def test_with_cp_of_a_resnet_with_scsa(monkeypatch):
    config = small_config('scsa')
    model = recipes.build(config)
    batch = recipes.inputs(config, model, [(96, 64)] * 2)
    expected = loss_and_gradients(model, batch)
    config.model.backbone.with_cp = True
    checkpointed = recipes.build(config)
    checkpointed.load_state_dict(model.state_dict())
    calls = count_forward_passes(monkeypatch, SCSA)
    actual = loss_and_gradients(checkpointed, batch)
    assert len(calls) > len(set(calls))
    for one, other in zip(actual, expected, strict=True):  # gradients are summed in another order
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4 * float(other.abs().max()))


LAYERS = {
    'fine': (lambda: FINE(32), lambda r: (r(2, 32, 13, 10), r(2, 32, 7, 5))),
    'cfsam': (lambda: CFSAM([16, 32], channels=32, depth=2), lambda r: (r(2, 16, 9, 7), r(2, 32, 5, 4))),
    'scsa': (lambda: SCSA(32), lambda r: (r(2, 32, 13, 9),)),
    'cla': (lambda: CrossLayerAttention(16, 32, 8, patch_size=2),
            lambda r: (r(2, 16, 12, 8), r(2, 32, 6, 4), r(2, 8, 6, 4))),
}


@pytest.mark.parametrize('use_reentrant', [False, True])
@pytest.mark.parametrize('name', LAYERS)
def test_activation_checkpointing_of_a_layer(name, use_reentrant):
    build, make_inputs = LAYERS[name]
    torch.manual_seed(0)
    layer = build()
    inputs = make_inputs(lambda *shape: torch.randn(*shape, requires_grad=True))
    leaves = (*inputs, *layer.parameters())

    def run(*maps):
        return tuple(layer(list(maps))) if name == 'cfsam' else layer(*maps)  # reentrant checkpoints accept no lists

    def loss_and_gradients(outputs):
        for leaf in leaves:
            leaf.grad = None
        outputs = outputs if isinstance(outputs, tuple) else [outputs]
        loss = sum(output.square().mean() for output in outputs)
        loss.backward()
        return [loss.detach(), *(leaf.grad for leaf in leaves)]

    assert_equal(loss_and_gradients(checkpoint(run, *inputs, use_reentrant=use_reentrant)),
                 loss_and_gradients(run(*inputs)))
