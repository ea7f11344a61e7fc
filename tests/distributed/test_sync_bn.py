"""Models converted to SyncBatchNorm train as with BatchNorm in a single process.

SyncBatchNorm over several processes needs GPUs and is not tested here.
"""
import copy

import pytest
import torch
from mmengine.model import convert_sync_batchnorm, revert_sync_batchnorm
from small_models import MODULES, small_config
from torch import nn

import recipes


def config_with_batch_norm(module):
    config = small_config(module)
    if module == 'cla':
        config.model.decode_head.norm_cfg = dict(type='BN')
    if module == 'cfsam':
        config.model.neck[1].norm_cfg = dict(type='BN')
    if module == 'fine':
        config.model.neck.norm_cfg = dict(type='BN')
    if module == 'scsa':
        config.model.backbone.plugins[0].cfg.norm = 'BN'
    return config


@pytest.mark.parametrize('module', MODULES)
def test_converted_model_trains_the_same(module):
    config = config_with_batch_norm(module)
    model = recipes.build(config)
    batch = recipes.inputs(config, model, [(96, 64)] * 2)
    converted = convert_sync_batchnorm(copy.deepcopy(model), 'torch')
    norms = [child for child in model.modules() if isinstance(child, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert sum(isinstance(child, nn.SyncBatchNorm) for child in converted.modules()) == len(norms)
    assert converted.state_dict().keys() == model.state_dict().keys()
    results = []
    for candidate in (model, converted):
        torch.manual_seed(0)
        loss = recipes.loss(candidate, copy.deepcopy(batch))
        loss.backward()
        results.append([loss.detach(), *(p.grad for p in candidate.parameters() if p.requires_grad)])
    assert all(torch.equal(a, b) for a, b in zip(*results))
    assert not any(isinstance(child, nn.SyncBatchNorm) for child in revert_sync_batchnorm(converted).modules())
