import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import oracles
import recipes
import rtdetr

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'convert_rtdetr.py'


def convert(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_writes_a_checkpoint_that_loads(monkeypatch, tmp_path):
    arrays = np.load(oracles.DATA / 'rtdetr_small.npz')
    released = {key[6:]: torch.from_numpy(arrays[key]) for key in arrays.files if key.startswith('param.')}
    torch.save(dict(ema=dict(module=released)), tmp_path / 'released.pth')
    convert(monkeypatch, tmp_path / 'released.pth', tmp_path / 'ours.pth')
    weights = torch.load(tmp_path / 'ours.pth')['state_dict']
    missing, unexpected = recipes.build(rtdetr.small()).load_state_dict(weights, strict=False)
    assert not unexpected and all(name.endswith('num_batches_tracked') for name in missing)


def test_other_weights_are_told_in_a_sentence(monkeypatch, tmp_path):
    torch.save(dict(state_dict={}), tmp_path / 'other.pth')
    with pytest.raises(SystemExit, match="no weights of RT-DETR's release"):
        convert(monkeypatch, tmp_path / 'other.pth', tmp_path / 'ours.pth')
