"""What tools/train.py makes of its options; that it trains is in test_mim.py."""
import importlib
import os
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


def load(name: str, monkeypatch):
    """A file of tools/ as a module; it finds its neighbours as a script does."""
    monkeypatch.syspath_prepend(TOOLS)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


@pytest.fixture
def train(monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '')  # what a test sets is taken back
    monkeypatch.delenv('LOCAL_RANK')
    return load('train', monkeypatch)


@pytest.fixture
def recipe(tmp_path) -> Path:
    path = tmp_path / 'some-recipe.py'
    path.write_text("optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))\n"
                    "auto_scale_lr = dict(enable=False, base_batch_size=16)\nload_from = 'stock.pth'\n")
    return path


def config_of(train, *arguments) -> Config:
    return train.load_config(train.option_parser('').parse_args([str(argument) for argument in arguments]))


def test_the_work_folder_is_the_given_one_else_the_recipes_else_its_name(train, recipe):
    assert config_of(train, recipe).work_dir == 'work_dirs/some-recipe'
    assert config_of(train, recipe, '--cfg-options', 'work_dir=chosen').work_dir == 'chosen'
    assert config_of(train, recipe, '--work-dir', 'here', '--cfg-options', 'work_dir=chosen').work_dir == 'here'


@pytest.mark.parametrize('spelling', ['--local_rank=1', '--local-rank=1'])
def test_both_spellings_of_the_local_rank(train, recipe, spelling):
    config_of(train, recipe, spelling, '--launcher', 'pytorch')
    assert os.environ['LOCAL_RANK'] == '1'


def test_resume_takes_the_newest_checkpoint(train, recipe, tmp_path):
    config = config_of(train, recipe, '--work-dir', tmp_path)
    for epoch in (2, 3):
        torch.save(dict(meta=dict(seed=7)), tmp_path / f'epoch_{epoch}.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_2.pth'))
    train.resume(config, 'auto')
    assert config.resume and config.load_from == str(tmp_path / 'epoch_2.pth')
    assert config.randomness.seed == 7  # the data goes on in the order in which it began


def test_resume_keeps_a_seed_that_is_given(train, recipe, tmp_path):
    config = config_of(train, recipe, '--cfg-options', 'randomness.seed=1')
    torch.save(dict(meta=dict(seed=7)), tmp_path / 'mine.pth')
    train.resume(config, tmp_path / 'mine.pth')
    assert config.randomness.seed == 1


def test_resume_refuses_a_checkpoint_that_is_cut_short(train, recipe, tmp_path):
    (tmp_path / 'mine.pth').write_bytes(b'PK')
    with pytest.raises(SystemExit, match='mine.pth is cut short'):
        train.resume(config_of(train, recipe), str(tmp_path / 'mine.pth'))


def test_resume_without_a_checkpoint_starts_from_the_recipes_weights(train, recipe, tmp_path):
    config = config_of(train, recipe, '--work-dir', tmp_path)
    train.resume(config, 'auto')
    assert not config.get('resume') and config.load_from == 'stock.pth'


def test_resume_takes_the_checkpoint_that_it_is_given(train, recipe):
    config = config_of(train, recipe)
    train.resume(config, 'mine.pth')
    assert config.resume and config.load_from == 'mine.pth'


def test_amp(train, recipe):
    config = config_of(train, recipe)
    train.use_amp(config)
    assert config.optim_wrapper.type == 'AmpOptimWrapper' and config.optim_wrapper.loss_scale == 'dynamic'
    config.optim_wrapper.type = 'ApexOptimWrapper'
    with pytest.raises(SystemExit, match='ApexOptimWrapper'):
        train.use_amp(config)


def test_auto_scale_lr(train, recipe):
    config = config_of(train, recipe)
    train.scale_learning_rate(config)
    assert config.auto_scale_lr.enable
    with pytest.raises(SystemExit, match='base_batch_size'):
        train.scale_learning_rate(Config(dict()))


def test_synchronised_norms_become_plain_ones_without_gpu(monkeypatch):
    config = Config(dict(model=dict(norm_cfg=dict(type='SyncBN', eps=1e-3), necks=[dict(norm_cfg=dict(type='SyncBN'))],
                                    head=dict(type='SyncBNHead'))))
    load('options', monkeypatch).replace_type(config.model, 'SyncBN', 'BN')
    assert config.model.to_dict() == dict(norm_cfg=dict(type='BN', eps=1e-3), necks=[dict(norm_cfg=dict(type='BN'))],
                                          head=dict(type='SyncBNHead'))
