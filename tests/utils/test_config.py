import pytest
import torch
from mmengine.config import Config

import recipes
from mmxattn.utils.config import build_model, fingerprint, input_shape, load_config, build_untrained_model


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match='no config file .*nowhere.py'):
        load_config(tmp_path / 'nowhere.py')


def test_a_broken_file_is_named_with_its_error(tmp_path):
    (tmp_path / 'broken.py').write_text('model = dict(type=undefined_name)')
    with pytest.raises(ValueError, match='broken.py cannot be read .*undefined_name'):
        load_config(tmp_path / 'broken.py')


def test_a_config_without_a_model_is_refused(tmp_path):
    (tmp_path / 'data.py').write_text('train_dataloader = dict()')
    with pytest.raises(ValueError, match=r"data.py has no `model`, only \['train_dataloader'\]"):
        load_config(tmp_path / 'data.py')


def test_options_and_seed_replace_the_files(toy_recipe):
    cfg = load_config(toy_recipe('toy'), {'train_cfg.max_epochs': 1}, seed=7)
    assert cfg.train_cfg.max_epochs == 1
    assert cfg.randomness.seed == 7


def test_the_fingerprint_follows_the_resolved_config(toy_recipe):
    cfg = load_config(toy_recipe('toy'))
    assert fingerprint(cfg) == fingerprint(load_config(toy_recipe('toy')))
    assert fingerprint(cfg) != fingerprint(load_config(toy_recipe('toy'), seed=1))
    assert fingerprint(cfg) != fingerprint(load_config(toy_recipe('toy', width=5)))


def test_a_model_that_cannot_be_built_is_told_with_its_recipe(toy_recipe):
    cfg = load_config(toy_recipe('toy'), {'model.depth': 50})
    with pytest.raises(ValueError, match="model of .*toy.py cannot be built .*'depth'"):
        build_model(cfg)


def test_building_leaves_the_recipe_alone(toy_recipe):
    cfg = load_config(toy_recipe('toy'))
    before = fingerprint(cfg)
    assert not build_model(cfg).training
    assert fingerprint(cfg) == before


def test_an_untrained_model_has_every_weight_set_and_downloads_nothing(monkeypatch):
    """SSD's L2Norm holds whatever was in memory until it is initialised, and its recipe names a checkpoint."""
    pytest.importorskip('mmdet')
    monkeypatch.setattr('mmengine.runner.checkpoint.CheckpointLoader.load_checkpoint', None)
    cfg = load_config(recipes.CONFIGS / 'cfsam/ssd300_cfsam_coco.py')
    first, second = build_untrained_model(cfg), build_untrained_model(cfg)
    assert first.neck[0].l2_norm.weight.eq(20).all() and not first.training
    for key, value in first.state_dict().items():
        assert value.isfinite().all() and torch.equal(value, second.state_dict()[key]), key


@pytest.mark.parametrize('recipe, shape', [
    (dict(model=dict(data_preprocessor=dict(size=(512, 1024)))), (512, 1024)),
    (dict(model=dict(), test_dataloader=dict(dataset=dict(pipeline=[
        dict(type='LoadImageFromFile'), dict(type='Resize', scale=(1333, 800))]))), (800, 1333)),
    (dict(model=dict(), val_dataloader=dict(dataset=dict(type='RepeatDataset', dataset=dict(pipeline=[
        dict(type='mmdet.FixShapeResize', scale=(300, 200))])))), (200, 300)),
    (dict(model=dict(), test_dataloader=dict(dataset=dict(pipeline=[dict(type='PackDetInputs')]))), None),
])
def test_the_input_shape_is_height_and_width(recipe, shape):
    assert input_shape(Config(recipe)) == shape
