"""Checkpoints that fit, and what is said of those that do not."""
import logging
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger

import recipes
from mmxattn.utils.checkpoints import load_model
from mmxattn.utils.config import build_model, load_config

pytest.importorskip('mmdet')
STOCK = recipes.CONFIGS / 'demo/faster-rcnn_r18-w32_fpn64_digits.py'
OURS = recipes.CONFIGS / 'demo/faster-rcnn_r18-w32_fine-fpn64_digits.py'


@pytest.fixture(scope='module')
def weights():
    torch.manual_seed(0)
    return build_model(load_config(STOCK)).state_dict()


def write(path, weights, **others):
    torch.save(dict(state_dict=weights, **others), path)
    return path


def test_the_model_has_the_weights_of_the_file(weights, tmp_path):
    model = load_model(load_config(STOCK), write(tmp_path / 'a.pth', weights, meta=dict(epoch=1)))
    assert not model.training
    assert all(torch.equal(value.cpu(), weights[key]) for key, value in model.state_dict().items())


def test_other_ways_to_write_weights_are_understood(weights, tmp_path):
    wrapped = {f'module.{key}': value for key, value in weights.items() if not key.endswith('num_batches_tracked')}
    torch.save(wrapped, tmp_path / 'bare.pth')
    model = load_model(load_config(STOCK), tmp_path / 'bare.pth')
    assert torch.equal(model.state_dict()['backbone.conv1.weight'].cpu(), weights['backbone.conv1.weight'])


def test_missing_weights_are_named(weights, tmp_path):
    with pytest.raises(ValueError) as error:
        load_model(load_config(OURS), write(tmp_path / 'stock.pth', {**weights, 'head.extra': torch.ones(1)}))
    said = str(error.value)
    missing = set(build_model(load_config(OURS)).state_dict()) - set(weights)
    assert 'stock.pth does not fit the model of' in said and 'fine-fpn64_digits.py' in said
    assert f'{len(missing)} keys missing (neck.' in said and f' and {len(missing) - 3} more)' in said
    assert '0 keys of another shape' in said and '1 keys that the model has not (head.extra)' in said
    assert 'Give a checkpoint that this recipe wrote' in said


def test_weights_of_another_shape_are_named(weights, tmp_path):
    other = {**weights, 'roi_head.bbox_head.fc_cls.weight': torch.ones(4, 256)}
    with pytest.raises(ValueError, match=r'1 keys of another shape \(roi_head.bbox_head.fc_cls.weight \(4x256, not'):
        load_model(load_config(STOCK), write(tmp_path / 'other.pth', other))


def test_weights_too_many_are_left_out_and_told(weights, tmp_path):
    path, lines = write(tmp_path / 'more.pth', {**weights, 'aux.weight': torch.ones(1)}), []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    load_model(load_config(STOCK), path)
    logger.removeHandler(handler)
    assert lines == [f'{path}: 1 keys left out (aux.weight).']


def test_a_file_that_is_not_there_or_holds_nothing(weights, tmp_path):
    cfg = load_config(STOCK)
    with pytest.raises(ValueError, match='no checkpoint .*absent.pth: give the path of a .pth file'):
        load_model(cfg, tmp_path / 'absent.pth')
    with pytest.raises(ValueError, match='empty.pth holds no weights'):
        load_model(cfg, write(tmp_path / 'empty.pth', {}))
    with pytest.raises(ValueError, match='whole.pth cannot be read .*: give one that training wrote'):
        whole = write(tmp_path / 'whole.pth', weights)
        whole.write_bytes(whole.read_bytes()[:5000])
        load_model(cfg, whole)
    with pytest.raises(ValueError, match='code.pth cannot be read: .* would run code'):
        load_model(cfg, write(tmp_path / 'code.pth', weights, other=Path('/')))
