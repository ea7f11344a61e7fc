"""Command-line tools with wrong arguments, missing files and folders: a sentence, and nothing is written."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
from refusals import contents

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / 'configs' / 'demo'
STOCK, OURS = DEMO / 'faster-rcnn_r18-w32_fpn64_digits.py', DEMO / 'faster-rcnn_r18-w32_fine-fpn64_digits.py'
PAIR = (STOCK, OURS)
NOWHERE = 'http://127.0.0.1:9/a.pth'  # nothing listens there

ROWS = [
    ('compare', (STOCK, ), 1, 'got 1', 'two or more config files'),
    ('compare', (STOCK, 'absent.py'), 1, 'absent.py', 'give the path of an OpenMMLab config'),
    ('compare', (STOCK, 'notes.txt'), 1, 'notes.txt', 'mend it'),
    ('compare', (STOCK, 'broken.py'), 1, 'broken.py', 'SyntaxError', 'mend it'),
    ('compare', (STOCK, 'no_model.py'), 1, 'no_model.py', 'has no `model`'),
    ('compare', (STOCK, 'no_base.py'), 1, 'no_base.py', 'gone.py', 'mend it'),
    ('compare', (*PAIR, '--checkpoints', 'a.pth'), 1, '1 checkpoints', 'one checkpoint a config file'),
    ('compare', (*PAIR, '--checkpoints', 'absent.pth', 'absent.pth'), 1, 'absent.pth', 'path of a .pth'),
    ('compare', (*PAIR, '--train', '--checkpoints', 'a.pth', 'b.pth'), 1, 'training is asked for', 'one of the two'),
    ('compare', (*PAIR, '--train', '--seeds', '0', '0'), 1, '(0, 0)', 'twice'),
    ('compare', (*PAIR, '--seeds', '-1'), 1, 'seeds is -1', 'take 0 or more'),
    ('compare', (*PAIR, '--modes', 'fp33'), 1, "'fp33'", 'fp32, amp, compile'),
    ('compare', (*PAIR, '--batch-sizes', '0'), 1, 'batch_sizes is 0', 'take 1 or more'),
    ('compare', (*PAIR, '--budget', '-5'), 1, 'budget is -5', 'more than 0'),
    ('compare', (*PAIR, '--turns', 'many'), 2, "'many'", '--turns'),
    ('compare', (*PAIR, '--shape', '800'), 2, '--shape', 'expected 2'),
    ('compare', (*PAIR, '--work-dir', 'notes.txt/report'), 1, 'notes.txt/report', '--work-dir'),
    ('compare', (*PAIR, '--work-dir', '/proc/report'), 1, '/proc/report', '--work-dir'),
    ('demo', ('--part', 'nothing'), 2, "'nothing'", "'fine', 'cfsam', 'scsa', 'cla'"),
    ('demo', ('--work-dir', 'notes.txt'), 1, 'notes.txt', '--work-dir'),
    ('train', ('absent.py', ), 1, 'absent.py', 'mim search mmxattn'),
    ('train', ('notes.txt', ), 1, 'notes.txt', 'mend it'),
    ('train', ('broken.py', ), 1, 'broken.py', 'SyntaxError'),
    ('train', ('other_stack.py', ), 1, 'other_stack.py', 'toolbox it inherits from'),
    ('doctor', ('--jsn', ), 2, '--jsn', 'unrecognized'),
    ('train', (OURS, '--launcher', 'ssh'), 2, "'ssh'", "'slurm'"),
    ('train', (OURS, '--work-dir', 'notes.txt'), 1, 'notes.txt', '--work-dir'),
    ('train', (OURS, '--cfg-options', 'param_scheduler.9.end=1'), 1, 'param_scheduler.9.end', 'name keys'),
    ('train', (OURS, '--resume', 'absent.pth'), 1, 'absent.pth', 'give the path of a .pth'),
    ('train', (OURS, '--resume', 'notes.txt'), 1, 'notes.txt', 'whole one'),
    ('train', (OURS, '--learning-rate', '1'), 2, '--learning-rate', 'unrecognized'),
    ('train', (OURS, '--launcher', 'pytorch'), 1, '--launcher pytorch', 'RANK', 'torchrun --nproc-per-node', 'leave'),
    ('train', (OURS, '--launcher', 'slurm'), 1, '--launcher slurm', 'SLURM_PROCID', 'srun --ntasks', 'leave'),
    ('train', (OURS, '--launcher', 'mpi'), 1, '--launcher mpi', 'OMPI_COMM_WORLD_RANK', 'mpirun -np', 'leave'),
    ('train', ('no_model.py', ), 1, 'no_model.py has model=None', 'add model'),
    ('train', (OURS, '--cfg-options', 'train_cfg=None'), 1, 'train_cfg=None', 'add train_cfg'),
    ('train', (OURS, '--cfg-options', 'train_cfg=3'), 1, 'train_cfg=3', 'a dict'),
    ('train', (OURS, '--cfg-options', 'val_cfg=None'), 1, 'val_cfg=None', 'val_evaluator, or none'),
    ('train', (OURS, '--cfg-options', 'foo'), 2, "'foo' is not KEY=VALUE", 'train_cfg.max_epochs=2'),
    ('train', (OURS, '--cfg-options', 'foo=[1,(2]'), 2, "'foo=[1,(2]'", 'brackets closed'),
    ('train', (OURS, '--auto-scale-lr', '--cfg-options', 'auto_scale_lr=3'), 1, 'auto_scale_lr=3',
     'auto_scale_lr.base_batch_size=16'),
    ('train', (OURS, '--auto-scale-lr', '--cfg-options', 'auto_scale_lr.base_batch_size=0'), 1, "'base_batch_size': 0",
     'auto_scale_lr.base_batch_size=16'),
    ('train', (OURS, '--resume', NOWHERE), 1, NOWHERE, 'cannot be fetched', 'an address that answers'),
    ('train', (OURS, '--cfg-options', f'load_from={NOWHERE}'), 1, NOWHERE, 'cannot be fetched',
     'an address that answers'),
    ('train', (OURS, '--cfg-options', 'load_from=run'), 1, 'run is a folder', 'run/epoch_2.pth'),
    ('train', (OURS, '--resume', 'run/empty'), 1, 'run/empty', 'give'),
    ('test', (OURS, ), 2, 'checkpoint', 'required'),
    ('test', (OURS, 'a.pth', '--launcher', 'pytorch'), 1, '--launcher pytorch', 'RANK', 'torchrun --nproc-per-node'),
    ('test', (OURS, 'run'), 1, 'run is a folder', 'run/epoch_2.pth'),
    ('test', (OURS, 'run/empty'), 1, 'run/empty is a folder', 'give the path of a .pth'),
    ('test', ('no_model.py', 'a.pth'), 1, 'no_model.py has model=None', 'add model'),
    ('test', (OURS, 'a.pth', '--cfg-options', 'test_evaluator=None'), 1, 'test_evaluator=None', 'add test_evaluator'),
    ('test', (OURS, 'a.pth', '--cfg-options', 'train_cfg=None'), 1, 'train_cfg=None', 'optim_wrapper, or none'),
    ('test', (OURS, 'a.pth', '--out', 'out.txt'), 1, '--out out.txt', '--out out.pkl'),
    ('test', (OURS, NOWHERE), 1, NOWHERE, 'cannot be fetched', 'an address that answers'),
    ('test', ('absent.py', 'a.pth'), 1, 'absent.py', 'mim search mmxattn'),
    ('test', (OURS, 'absent.pth'), 1, 'absent.pth', 'give the path of a .pth'),
    ('test', (OURS, 'notes.txt', '--out', 'gone/out.pkl'), 1, 'no folder gone', 'make it first'),
    ('bench_layers', ('--layers', 'ABC'), 1, "'ABC'", 'SCSA, FINE, CFSAM, CLA'),
    ('bench_layers', ('--only', 'nowhere'), 1, "'nowhere'", 'these are there'),
    ('bench_layers', ('--dtype', 'fp8'), 2, "'fp8'", "'bf16'"),
    ('bench_layers', ('--json', 'gone/layers.json'), 1, 'gone', 'make it first'),
    ('bench_hosts', ('--only', 'YOLO'), 1, "'YOLO'", 'these are there'),
    ('bench_hosts', ('--turns', '-3', '--only', 'ResNet'), 1, 'turns=-3', 'at least 1'),
    ('prepare_dataset', ('coco', ), 2, "'coco'", "'visdrone'"),
    ('prepare_dataset', ('visdrone', '--source', 'gone'), 1, 'gone', 'https://', '--source'),
    ('prepare_dataset', ('voc', '--source', 'notes.txt'), 1, 'notes.txt', 'http://', '--source'),
    ('convert_rtdetr', ('absent.pth', 'ours.pth'), 1, 'absent.pth', "RT-DETR's release"),
    ('convert_rtdetr', ('notes.txt', 'ours.pth'), 1, 'notes.txt', 'no file of tensors'),
    ('convert_rtdetr', ('notes.txt', 'gone/ours.pth'), 1, 'gone/ours.pth', 'folder that there is'),
    ('convert_rtdetr', ('notes.txt', 'notes.txt'), 1, 'notes.txt', 'another file than the source'),
    ('convert_rtdetr', ('notes.txt', ), 2, 'target', 'required'),
]


@pytest.fixture
def files(tmp_path):
    """What the rows name beside files that there are not."""
    (tmp_path / 'notes.txt').write_text('Not what it is taken for.\n')
    (tmp_path / 'broken.py').write_text("model = dict(type='FINEFPN'\n")
    (tmp_path / 'no_model.py').write_text('optimizer = dict(lr=1)\n')
    (tmp_path / 'no_base.py').write_text("_base_ = 'gone.py'\n")
    (tmp_path / 'other_stack.py').write_text("_base_ = 'onedl-mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'\n")
    (tmp_path / 'run' / 'empty').mkdir(parents=True)
    for age, name in ((20, 'epoch_1.pth'), (10, 'epoch_2.pth')):
        (tmp_path / 'run' / name).write_text('No checkpoint.\n')
        os.utime(tmp_path / 'run' / name, (1e9 - age, 1e9 - age))
    return contents(tmp_path)


@pytest.mark.parametrize('name, arguments, code, words', [(a, b, c, d) for a, b, c, *d in ROWS],
                         ids=[f'{row[0]}-{i}' for i, row in enumerate(ROWS)])
def test_is_told_in_a_sentence(name, arguments, code, words, tool, files, tmp_path):
    got, told = tool(name, *arguments)
    assert got == code, told
    assert not [word for word in words if word not in told], told
    assert 'Traceback' not in told
    assert contents(tmp_path) == files


@pytest.mark.slow
@pytest.mark.parametrize('name, arguments, word', [('train', ('absent.py', ), 'mim search mmxattn'),
                                                   ('test', (OURS, 'absent.pth'), 'give the path of a .pth')])
def test_a_process_ends_by_itself_and_without_traceback(name, arguments, word, tmp_path):
    done = subprocess.run([sys.executable, ROOT / 'tools' / f'{name}.py', *map(str, arguments)], cwd=tmp_path,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and word in done.stderr and 'Traceback' not in done.stderr
    assert not contents(tmp_path)
