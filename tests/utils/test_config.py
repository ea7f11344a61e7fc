import pytest
import torch
from mmengine.config import Config

import recipes
import toy_classifier
from mmxattn.utils.config import build_model, build_untrained_model, fingerprint, input_shape, load_config


@pytest.mark.parametrize('text, message', [
    (None, 'no config file .*some.py'),
    ('model = dict(type=undefined_name)', 'some.py cannot be read .*undefined_name'),
    ('train_dataloader = dict()', 'some.py must define `model` as a dict, got None'),
])
def test_unusable_file_is_reported(tmp_path, text, message):
    path = tmp_path / 'some.py'
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_config(path)


def test_options_that_do_not_match_are_reported(tmp_path):
    with pytest.raises(ValueError, match='--cfg-options .* do not match .*toy.py .*: use keys that the config has'):
        load_config(toy_classifier.write_config(tmp_path), {'custom_hooks.9.path': 'x'})


def test_options_and_seed_override_the_file(tmp_path):
    cfg = load_config(toy_classifier.write_config(tmp_path), {'train_cfg.max_epochs': 1}, seed=7)
    assert cfg.train_cfg.max_epochs == 1
    assert cfg.randomness.seed == 7


def test_fingerprint_follows_the_resolved_config(tmp_path):
    path = toy_classifier.write_config(tmp_path)
    cfg = load_config(path)
    assert fingerprint(cfg) == fingerprint(load_config(path))
    assert fingerprint(cfg) != fingerprint(load_config(path, seed=1))
    assert fingerprint(cfg) != fingerprint(load_config(path, {'model.width': 5}))


def test_build_error_names_the_config(tmp_path):
    cfg = load_config(toy_classifier.write_config(tmp_path), {'model.depth': 50})
    with pytest.raises(ValueError, match="model of .*toy.py cannot be built .*'depth'"):
        build_model(cfg)


def test_building_does_not_change_the_config(tmp_path):
    cfg = load_config(toy_classifier.write_config(tmp_path))
    before = fingerprint(cfg)
    assert not build_model(cfg).training
    assert fingerprint(cfg) == before


def test_untrained_model_is_reproducible_and_needs_no_download(monkeypatch):
    """SSD's L2Norm allocates its weight without initializing it, and its config names a checkpoint."""
    pytest.importorskip('mmdet')
    monkeypatch.setattr('mmengine.runner.checkpoint.CheckpointLoader.load_checkpoint', None)
    cfg = load_config(recipes.CONFIGS / 'cfsam/ssd300_cfsam_coco.py')
    first, second = build_untrained_model(cfg), build_untrained_model(cfg)
    assert first.neck[0].l2_norm.weight.eq(20).all() and not first.training
    for key, value in first.state_dict().items():
        assert value.isfinite().all() and torch.equal(value, second.state_dict()[key]), key


@pytest.mark.parametrize('cfg, shape', [
    (dict(model=dict(data_preprocessor=dict(size=(512, 1024)))), (512, 1024)),
    (dict(model=dict(), test_dataloader=dict(dataset=dict(pipeline=[
        dict(type='LoadImageFromFile'), dict(type='Resize', scale=(1333, 800))]))), (800, 1333)),
    (dict(model=dict(), val_dataloader=dict(dataset=dict(type='RepeatDataset', dataset=dict(pipeline=[
        dict(type='mmdet.FixShapeResize', scale=(300, 200))])))), (200, 300)),
    (dict(model=dict(), test_dataloader=dict(dataset=dict(pipeline=[dict(type='PackDetInputs')]))), None),
])
def test_input_shape_is_height_and_width(cfg, shape):
    assert input_shape(Config(cfg)) == shape
