"""Prediction on data that is missing or unsuitable; test_accuracy.py covers prediction on real data."""

import pytest
import torch

import recipes
from mmxattn.comparison.predictions import predict
from mmxattn.utils.config import build_model, load_config

pytest.importorskip('mmdet')
BASELINE = recipes.CONFIGS / 'demo/faster-rcnn_r18-w32_fpn64_digits.py'


@pytest.fixture(scope='module')
def weights():
    torch.manual_seed(0)
    return build_model(load_config(BASELINE)).state_dict()


def save(path, weights):
    torch.save(dict(state_dict=weights), path)
    return path


@pytest.mark.parametrize('dataset, missing', [
    (dict(type='CocoDataset', data_root='/no/such', ann_file='test.json'), '/no/such/test.json'),
    (dict(type='DigitScenesDataset', split='test', scenes=dict(num_train=1, num_test=1)), '/no/such/targets.json')])
def test_missing_annotations_are_reported(weights, tmp_path, monkeypatch, dataset, missing):
    monkeypatch.setenv('MMXATTN_CACHE', str(tmp_path))
    cfg = load_config(BASELINE, {'test_evaluator.ann_file': '/no/such/targets.json'})
    cfg.test_dataloader.dataset = dataset
    with pytest.raises(ValueError, match=f'dataset of .*digits.py is missing: there is no {missing}'):
        predict(cfg, save(tmp_path / 'a.pth', weights))


def test_missing_image_is_reported(weights, tmp_path):
    pytest.importorskip('sklearn')
    from mmxattn.datasets import digit_scenes
    scenes = dict(num_train=1, num_test=2, cache=str(tmp_path))
    root = digit_scenes.write(**scenes)
    cfg = load_config(BASELINE, {'test_dataloader.dataset.scenes': scenes, 'test_dataloader.num_workers': 1,
                                 'test_evaluator.ann_file': f'{root}/test.json'})
    (tmp_path / root / 'test/images/000001.png').unlink()
    with pytest.raises(ValueError, match='is missing: there is no .*000001.png'):
        predict(cfg, save(tmp_path / 'a.pth', weights))


def test_unsuitable_config_is_rejected(toy_config, tmp_path):
    cfg = load_config(toy_config('toy'))
    checkpoint = save(tmp_path / 'toy.pth', build_model(cfg).state_dict())
    with pytest.raises(ValueError, match='evaluate a detector or segmentor'):
        predict(cfg, checkpoint)
    cfg.pop('val_dataloader')
    with pytest.raises(ValueError, match='toy.py must have a test_dataloader and a test_evaluator'):
        predict(cfg, checkpoint)
