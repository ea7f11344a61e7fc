"""Conversion of released RT-DETR weights from the command line."""
import numpy as np
import torch

import oracles
import recipes
import rtdetr


def test_converted_checkpoint_loads(tool, tmp_path):
    arrays = np.load(oracles.DATA / 'rtdetr_small.npz')
    released = {key[6:]: torch.from_numpy(arrays[key]) for key in arrays.files if key.startswith('param.')}
    torch.save(dict(ema=dict(module=released)), tmp_path / 'released.pth')
    assert tool('convert_rtdetr', 'released.pth', 'converted.pth')[0] == 0
    weights = torch.load(tmp_path / 'converted.pth')['state_dict']
    missing, unexpected = recipes.build(rtdetr.small()).load_state_dict(weights, strict=False)
    assert not unexpected and all(name.endswith('num_batches_tracked') for name in missing)


def test_other_weights_are_rejected(tool, tmp_path):
    torch.save(dict(state_dict={}), tmp_path / 'other.pth')
    code, _, errors = tool('convert_rtdetr', 'other.pth', 'converted.pth')
    assert code == 1 and "RT-DETR's release" in errors
