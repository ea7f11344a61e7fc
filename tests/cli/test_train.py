"""Options of tools/train.py. tests/packaging tests the training itself."""
import os

import pytest
import torch
from mmengine.config import Config

from mmxattn.cli import train
from mmxattn.cli.options import base_parser, config_from_args, replace_type


@pytest.fixture
def parse(tmp_path, monkeypatch):
    """Return a function that parses arguments into a config."""
    path = tmp_path / 'some-config.py'
    path.write_text("model = dict(type='Some')\noptim_wrapper = dict(type='OptimWrapper', optimizer=dict(lr=0.1))\n"
                    "auto_scale_lr = dict(enable=False, base_batch_size=16)\nload_from = 'stock.pth'\n")
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    monkeypatch.setattr(train, 'check_checkpoint', lambda cfg, checkpoint: None)
    return lambda *arguments: config_from_args(base_parser('').parse_args([str(path), *map(str, arguments)]))


@pytest.fixture
def save(tmp_path):
    """Return a function that saves a checkpoint of a training run."""
    def save(name):
        torch.save(dict(meta=dict(seed=7, epoch=1, iter=2), message_hub={}), tmp_path / name)
        return str(tmp_path / name)
    return save


def test_work_dir_is_the_option_the_entry_or_the_name_of_the_config(parse):
    assert parse().work_dir == 'work_dirs/some-config'
    assert parse('--cfg-options', 'work_dir=chosen').work_dir == 'chosen'
    assert parse('--work-dir', 'here', '--cfg-options', 'work_dir=chosen').work_dir == 'here'


@pytest.mark.parametrize('spelling', ['--local_rank=1', '--local-rank=1'])
def test_both_spellings_of_local_rank_are_accepted(parse, spelling):
    parse(spelling, '--launcher', 'pytorch')
    assert os.environ['LOCAL_RANK'] == '1'


def test_resume_auto_uses_the_latest_checkpoint_and_its_seed(parse, save, tmp_path):
    config = parse('--work-dir', tmp_path)
    latest = save('epoch_2.pth')
    (tmp_path / 'last_checkpoint').write_text(latest)
    assert train.enable_resume(config, 'auto') == []
    assert config.resume and config.load_from == latest
    assert config.randomness.seed == 7  # continues the order of the data


def test_resume_keeps_a_given_seed(parse, save):
    config = parse('--cfg-options', 'randomness.seed=1')
    train.enable_resume(config, save('mine.pth'))
    assert config.resume and config.randomness.seed == 1


def test_resume_auto_without_checkpoint_starts_from_load_from(parse, tmp_path):
    config = parse('--work-dir', tmp_path / 'mistyped')
    warning, = train.enable_resume(config, 'auto')
    assert 'Found no checkpoint to resume from' in warning and 'mistyped' in warning
    assert not config.get('resume') and config.load_from == 'stock.pth'


def test_amp_needs_a_plain_optim_wrapper(parse):
    config = parse()
    train.enable_amp(config)
    assert config.optim_wrapper.type == 'AmpOptimWrapper' and config.optim_wrapper.loss_scale == 'dynamic'
    config.optim_wrapper.type = 'ApexOptimWrapper'
    with pytest.raises(ValueError, match='ApexOptimWrapper'):
        train.enable_amp(config)


def test_auto_scale_lr_needs_a_base_batch_size(parse):
    config = parse()
    train.enable_lr_scaling(config)
    assert config.auto_scale_lr.enable
    with pytest.raises(ValueError, match='base_batch_size'):
        train.enable_lr_scaling(Config(dict()))


def test_replace_type_replaces_exact_types_everywhere():
    config = Config(dict(norm_cfg=dict(type='SyncBN', eps=1e-3), necks=[dict(norm_cfg=dict(type='SyncBN'))],
                         head=dict(type='SyncBNHead')))
    replace_type(config._cfg_dict, 'SyncBN', 'BN')
    assert config.to_dict() == dict(norm_cfg=dict(type='BN', eps=1e-3), necks=[dict(norm_cfg=dict(type='BN'))],
                                    head=dict(type='SyncBNHead'))
