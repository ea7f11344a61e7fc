"""SyncBN in each part: what `sync_bn='torch'` converts trains as BatchNorm does where there is one process.

torch's SyncBatchNorm works over several processes on GPUs alone; what its own code does there is not tested here.
"""
import copy

import pytest
import torch
from mmengine.model import convert_sync_batchnorm, revert_sync_batchnorm
from small_hosts import PARTS, recipe
from torch import nn

import recipes
from mmxattn.layers import CFSAM
from mmxattn.layers.safe_norm import normalize


def with_batch_norm(part):
    """The small host with BatchNorm wherever the part takes a norm."""
    cfg = recipe(part)
    if part == 'cla':
        cfg.model.decode_head.norm_cfg = dict(type='BN')
    if part == 'cfsam':
        cfg.model.neck[1].norm_cfg = dict(type='BN')
    if part == 'fine':
        cfg.model.neck.norm_cfg = dict(type='BN')
    if part == 'scsa':
        cfg.model.backbone.plugins[0].cfg.norm = 'BN'
    return cfg


@pytest.mark.parametrize('part', PARTS)
def test_conversion_of_the_host(part):
    cfg = with_batch_norm(part)
    model = recipes.build(cfg)
    batch = recipes.inputs(cfg, model, [(96, 64)] * 2)
    converted = convert_sync_batchnorm(copy.deepcopy(model), 'torch')
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert sum(isinstance(module, nn.SyncBatchNorm) for module in converted.modules()) == len(norms)
    assert converted.state_dict().keys() == model.state_dict().keys()
    results = []
    for candidate in (model, converted):
        torch.manual_seed(0)
        loss = recipes.loss(candidate, copy.deepcopy(batch))
        loss.backward()
        results.append([loss.detach(), *(p.grad for p in candidate.parameters() if p.requires_grad)])
    assert all(torch.equal(a, b) for a, b in zip(*results))
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in revert_sync_batchnorm(converted).modules())


@pytest.mark.parametrize('norm', [nn.BatchNorm2d, nn.SyncBatchNorm])
def test_a_single_value_a_channel_in_training(norm):
    layer = CFSAM([8, 8], channels=8, depth=1, num_heads=2, norm=norm).train()
    outs = layer([torch.randn(1, 8, 3, 3), torch.randn(1, 8, 1, 1)])
    assert all(out.isfinite().all() for out in outs)
    last = norm(4).train()
    last.running_mean += 1
    x = torch.full((1, 4, 1, 1), 3.)
    assert torch.allclose(normalize(last, x), (x - 1) / (1 + last.eps) ** 0.5)  # the running statistics
