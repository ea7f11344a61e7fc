"""Tools refuse checkpoints that do not fit, are damaged or would run code, and never run that code."""
import os

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

import recipes
from mmxattn.cli.validation import check_load_from
from mmxattn.utils.config import build_model

OURS = recipes.CONFIGS / 'demo' / 'faster-rcnn_r18-w32_fine-fpn64_digits.py'


class Bomb:
    """Object that creates a folder when unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder, )


@pytest.fixture(scope='module')
def weights():
    with DefaultScope.overwrite_default_scope('mmdet'):
        return build_model(Config.fromfile(OURS)).state_dict()


@pytest.fixture
def folder(tmp_path, weights):
    """A checkpoint of the recipe, and others."""
    torch.save(dict(state_dict=weights), tmp_path / 'valid.pth')
    torch.save(dict(state_dict={k: v for k, v in weights.items() if '.fine.' not in k}), tmp_path / 'stock.pth')
    torch.save(dict(state_dict={f'blocks.{k}': v for k, v in weights.items()}), tmp_path / 'other.pth')
    torch.save(dict(state_dict=Bomb(str(tmp_path / 'exploded'))), tmp_path / 'bomb.pth')
    (tmp_path / 'truncated.pth').write_bytes((tmp_path / 'valid.pth').read_bytes()[:10**6])
    torch.save([1, 2], tmp_path / 'list.pth')
    return tmp_path


@pytest.mark.parametrize('name, arguments, message', [
    ('bomb.pth', ('test', OURS, '{}'), 'would run code'),
    ('truncated.pth', ('test', OURS, '{}'), 'truncated'),
    ('stock.pth', ('test', OURS, '{}'), 'keys missing'),
    ('bomb.pth', ('train', OURS, '--resume', '{}'), 'would run code'),
    ('truncated.pth', ('train', OURS, '--resume', '{}'), 'truncated'),
    ('bomb.pth', ('train', OURS, '--cfg-options', 'load_from={}'), 'would run code'),
    ('truncated.pth', ('train', OURS, '--cfg-options', 'load_from={}'), 'truncated'),
    ('absent.pth', ('train', OURS, '--cfg-options', 'load_from={}'), 'There is no checkpoint'),
    ('list.pth', ('train', OURS, '--cfg-options', 'load_from={}'), 'has 0 tensors'),
    ('other.pth', ('train', OURS, '--cfg-options', 'load_from={}'), 'none is a weight of the model'),
    ('bomb.pth', ('convert_rtdetr', '{}', 'ours.pth'), 'would run code'),
    ('truncated.pth', ('convert_rtdetr', '{}', 'ours.pth'), 'truncated'),
    ('valid.pth', ('convert_rtdetr', '{}', 'ours.pth'), "weights of RT-DETR's release"),
    ('list.pth', ('convert_rtdetr', '{}', 'ours.pth'), "weights of RT-DETR's release"),
])
def test_invalid_checkpoint_is_refused(name, arguments, message, folder, tool):
    files = sorted(folder.iterdir())
    code, _, stderr = tool(*(str(argument).format(folder / name) for argument in arguments))
    assert code == 1 and message in stderr and 'Traceback' not in stderr
    assert sorted(folder.iterdir()) == files  # nothing was written, and no code was run


@pytest.mark.parametrize('load_from', ['valid.pth', 'stock.pth', 'torchvision://resnet50', None])
def test_load_from_accepts_checkpoints_with_some_weights_of_the_model(load_from, folder):
    cfg = Config.fromfile(OURS)
    cfg.load_from = str(folder / load_from) if load_from in ('valid.pth', 'stock.pth') else load_from
    with DefaultScope.overwrite_default_scope('mmdet'):
        check_load_from(cfg)
