"""Loading checkpoints into models, and errors of checkpoints that cannot be loaded."""
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger

import recipes
from mmxattn.utils.checkpoints import load_model, read_checkpoint
from mmxattn.utils.config import build_model, load_config

pytest.importorskip('mmdet')
STOCK = recipes.CONFIGS / 'demo/faster-rcnn_r18-w32_fpn64_digits.py'
FINE = recipes.CONFIGS / 'demo/faster-rcnn_r18-w32_fine-fpn64_digits.py'


@pytest.fixture(scope='module')
def weights():
    torch.manual_seed(0)
    return build_model(load_config(STOCK)).state_dict()


@pytest.fixture
def save(tmp_path):
    """Return a function that saves a state dict as a checkpoint and returns its path."""
    def save(weights, **others):
        torch.save(dict(state_dict=weights, **others), tmp_path / 'some.pth')
        return tmp_path / 'some.pth'
    return save


def test_model_has_the_weights_of_the_checkpoint(weights, save):
    model = load_model(load_config(STOCK), save(weights, meta=dict(epoch=1)))
    assert not model.training
    assert all(torch.equal(value.cpu(), weights[key]) for key, value in model.state_dict().items())


def test_bare_state_dict_of_a_wrapped_model_is_loaded(weights, tmp_path):
    wrapped = {f'module.{key}': value for key, value in weights.items() if not key.endswith('num_batches_tracked')}
    torch.save(wrapped, tmp_path / 'bare.pth')
    model = load_model(load_config(STOCK), tmp_path / 'bare.pth')
    assert torch.equal(model.state_dict()['backbone.conv1.weight'].cpu(), weights['backbone.conv1.weight'])


def test_missing_and_unexpected_weights_are_listed(weights, save):
    with pytest.raises(ValueError) as error:
        load_model(load_config(FINE), save({**weights, 'head.extra': torch.ones(1)}))
    message = str(error.value)
    missing = set(build_model(load_config(FINE)).state_dict()) - set(weights)
    assert 'some.pth does not fit the model of' in message and 'fine-fpn64_digits.py' in message
    assert f'{len(missing)} keys missing (neck.' in message and f' and {len(missing) - 3} more)' in message
    assert '0 keys with another shape' in message and '1 keys unexpected (head.extra)' in message


def test_weights_of_another_shape_are_listed(weights, save):
    expected = r'0 keys missing; 1 keys with another shape \(roi_head.bbox_head.fc_cls.weight \(4x256 instead of'
    with pytest.raises(ValueError, match=expected):
        load_model(load_config(STOCK), save({**weights, 'roi_head.bbox_head.fc_cls.weight': torch.ones(4, 256)}))


def test_unexpected_weights_alone_are_ignored_with_a_warning(weights, save, monkeypatch):
    warnings = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', warnings.append)
    path = save({**weights, 'aux.weight': torch.ones(1)})
    load_model(load_config(STOCK), path)
    assert warnings == [f'{path}: 1 keys ignored (aux.weight).']


def test_missing_file_and_file_without_weights(save, tmp_path):
    with pytest.raises(ValueError, match='no checkpoint .*absent.pth: give the path of a .pth file'):
        load_model(load_config(STOCK), tmp_path / 'absent.pth')
    with pytest.raises(ValueError, match='some.pth contains no weights'):
        load_model(load_config(STOCK), save({}))


def test_damaged_file_and_file_with_code_are_not_read(save):
    with pytest.raises(ValueError, match='some.pth cannot be read: .* would run code'):
        read_checkpoint(save({}, other=Path('/')))
    path = save(dict(a=torch.ones(10000)))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match='some.pth cannot be read: it is truncated or damaged'):
        read_checkpoint(path)
