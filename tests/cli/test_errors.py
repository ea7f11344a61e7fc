"""Invalid command line arguments give a message without a traceback, and nothing is written."""
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import recipes
from mmxattn.cli.errors import run_cli
from mmxattn.utils.config import build_model, load_config

ROOT = Path(__file__).resolve().parents[2]
FINE = recipes.CONFIGS / 'demo' / 'faster-rcnn_r18-w32_fine-fpn64_digits.py'
OVERRIDE = ('train', FINE, '--cfg-options')


@pytest.mark.parametrize('code, message, arguments', [
    (1, 'mim search mmxattn', ('train', 'absent.py')),
    (1, 'install the toolbox that it inherits from', ('train', 'other_stack.py')),
    (1, 'must define `model`', ('train', 'no_model.py')),
    (1, 'use keys', (*OVERRIDE, 'param_scheduler.9.end=1')),
    (1, 'must define `train_cfg` as a dict to train, got train_cfg=3', (*OVERRIDE, 'train_cfg=3')),
    (2, "'foo' must be KEY=VALUE", (*OVERRIDE, 'foo')),
    (2, "'foo=[1,(2]' must be KEY=VALUE", (*OVERRIDE, 'foo=[1,(2]')),
    (1, '--work-dir', ('train', FINE, '--work-dir', 'notes.txt')),
    (1, '--resume got an empty string', ('train', FINE, '--resume', '')),
    (1, 'There is no checkpoint absent.pth', ('train', FINE, '--resume', 'absent.pth')),
    (1, 'notes.txt is truncated', ('train', FINE, '--resume', 'notes.txt')),
    (1, 'is a folder: give a checkpoint in it', ('train', FINE, '--resume', '.')),
    (1, 'weights.pth has no training state', ('train', FINE, '--resume', 'weights.pth', '--stock-loop')),
    (1, 'torchrun --nproc-per-node=8', ('train', FINE, '--launcher', 'pytorch')),
    (1, 'SLURM_PROCID', ('test', FINE, 'a.pth', '--launcher', 'slurm')),
    (1, 'auto_scale_lr.base_batch_size=16', (*OVERRIDE, 'auto_scale_lr.base_batch_size=0', '--auto-scale-lr')),
    (1, 'must define `test_evaluator`', ('test', FINE, 'a.pth', '--cfg-options', 'test_evaluator=None')),
    (1, '--out must be a .pkl file', ('test', FINE, 'a.pth', '--out', 'out.txt')),
    (1, 'gone', ('test', FINE, 'a.pth', '--out', 'gone/out.pkl')),
    (1, 'There is no checkpoint absent.pth', ('test', FINE, 'absent.pth')),
    (2, "'visdrone'", ('prepare_dataset', 'coco')),
    (1, 'https://', ('prepare_dataset', 'visdrone', '--source', 'gone')),
    (1, "RT-DETR's release", ('convert_rtdetr', 'absent.pth', 'ours.pth')),
    (1, 'gone/ours.pth', ('convert_rtdetr', 'notes.txt', 'gone/ours.pth')),
])
def test_invalid_arguments_give_a_message(code, message, arguments, tool, tmp_path, monkeypatch):
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    (tmp_path / 'notes.txt').write_text('Not a checkpoint.\n')
    (tmp_path / 'no_model.py').write_text('optimizer = dict(lr=1)\n')
    (tmp_path / 'other_stack.py').write_text("_base_ = 'onedl-mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'\n")
    if 'weights.pth' in arguments:
        torch.save(dict(state_dict=build_model(load_config(FINE)).state_dict()), tmp_path / 'weights.pth')
    files = sorted(tmp_path.rglob('*'))
    got, _, errors = tool(*arguments)
    assert got == code and message in errors and 'Traceback' not in errors
    assert sorted(tmp_path.rglob('*')) == files


@pytest.mark.slow
@pytest.mark.parametrize('name, arguments', [('train', ('absent.py', )), ('test', (FINE, 'absent.pth'))])
def test_process_exits_without_a_traceback(name, arguments, tmp_path):
    process = subprocess.run([sys.executable, ROOT / 'tools' / f'{name}.py', *arguments], cwd=tmp_path,
                             capture_output=True, text=True, timeout=120)
    assert process.returncode == 1 and 'There is no' in process.stderr and 'Traceback' not in process.stderr
    assert not list(tmp_path.iterdir())


def test_interrupt_prints_how_to_continue():
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match='Stopped. Continue.'):
        run_cli(interrupt, 'Continue.')
