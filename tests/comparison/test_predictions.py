"""Models over data, and data that is not there."""
import pytest
import torch

import recipes
from mmxattn.comparison.predictions import predict
from mmxattn.utils.config import build_model, load_config

pytest.importorskip('mmdet')
STOCK = recipes.CONFIGS / 'demo/faster-rcnn_r18-w32_fpn64_digits.py'


@pytest.fixture(scope='module')
def weights():
    torch.manual_seed(0)
    return build_model(load_config(STOCK)).state_dict()


def write(path, weights):
    torch.save(dict(state_dict=weights), path)
    return path


@pytest.mark.parametrize('dataset, missing', [
    (dict(type='CocoDataset', data_root='/no/such', ann_file='test.json'), '/no/such/test.json'),
    (dict(type='DigitScenesDataset', split='test', scenes=dict(num_train=1, num_test=1)), '/no/such/answers.json')])
def test_data_that_is_not_there_is_named(weights, tmp_path, monkeypatch, dataset, missing):
    monkeypatch.setenv('MMXATTN_CACHE', str(tmp_path))
    cfg = load_config(STOCK, {'test_evaluator.ann_file': '/no/such/answers.json'})
    cfg.test_dataloader.dataset = dataset
    with pytest.raises(ValueError, match=f'data set of .*digits.py is not there: {missing} is missing'):
        predict(cfg, write(tmp_path / 'a.pth', weights))


def test_an_image_that_is_not_there_is_named(weights, tmp_path):
    pytest.importorskip('sklearn')
    from mmxattn.datasets import digit_scenes
    scenes = dict(num_train=1, num_test=2, cache=str(tmp_path))
    root = digit_scenes.write(**scenes)
    cfg = load_config(STOCK, {'test_dataloader.dataset.scenes': scenes, 'test_evaluator.ann_file': f'{root}/test.json',
                              'test_dataloader.num_workers': 1})
    (tmp_path / root / 'test/images/000001.png').unlink()
    with pytest.raises(ValueError, match='is not there: .*000001.png'):
        predict(cfg, write(tmp_path / 'a.pth', weights))


def test_a_recipe_without_test_data_is_told(toy_recipe, tmp_path):
    path = toy_recipe('toy')
    cfg = load_config(path)
    weights = build_model(cfg).state_dict()
    with pytest.raises(ValueError, match='only detectors .* and segmentors'):
        predict(cfg, write(tmp_path / 'toy.pth', weights))
    cfg.pop('val_dataloader')
    with pytest.raises(ValueError, match='toy.py has no test_dataloader with a test_evaluator, and no val_dataloader'):
        predict(cfg, write(tmp_path / 'toy.pth', weights))
