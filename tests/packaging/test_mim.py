"""mim on an installed wheel, away from the checkout: search, doctor, train, test with what training wrote, resume."""
import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import torch

RECIPE = 'faster-rcnn_r18-w32_fine-fpn64_digits.py'
SHORT = ['train_dataloader.batch_size=4', 'train_dataloader.dataset.indices=8', 'train_cfg.val_interval=1']
for part in ('train', 'val', 'test'):
    SHORT += [f'{part}_dataloader.num_workers=0', f'{part}_dataloader.persistent_workers=False']
for part in ('val', 'test'):
    SHORT += [f'{part}_dataloader.dataset.indices=8']

# openmim finds a package by its metadata. onedl-mim takes the first file that the metadata lists, and for a package
# that is called as its module that is the metadata itself: there the recipes are given by path, to the toolbox.
try:
    version('onedl-mim')
    TOOLBOX, BY_NAME = 'onedl-mmdetection', False
except PackageNotFoundError:
    TOOLBOX, BY_NAME = 'mmdet', True


@pytest.fixture(scope='module')
def site(wheel, tmp_path_factory) -> Path:
    """A folder with mmxattn installed from its wheel; it goes before the environment's own."""
    folder = tmp_path_factory.mktemp('site')
    subprocess.run([sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--target', folder, wheel],
                   check=True)
    return folder


@pytest.fixture(scope='module')
def mim(site, tmp_path_factory):
    """Runs mim in an empty folder, with one thread; returns its output, and fails where it fails."""
    folder = tmp_path_factory.mktemp('work')

    def run(*arguments, **environment) -> str:
        answer = subprocess.run([sys.executable, '-m', 'mim', *arguments], cwd=folder, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                env={**os.environ, 'PYTHONPATH': str(site), 'OMP_NUM_THREADS': '1', **environment})
        assert answer.returncode == 0, answer.stdout[-3000:]
        return answer.stdout

    run.folder = folder
    return run


@pytest.fixture(scope='module')
def recipe(site) -> Path:
    return site / 'mmxattn' / '.mim' / 'configs' / 'demo' / RECIPE


@pytest.mark.skipif(not BY_NAME, reason='onedl-mim does not find third-party packages in a wheel install')
def test_search_finds_every_published_recipe(mim, site):
    metafiles = (site / 'mmxattn' / '.mim' / 'configs').glob('*/metafile.yml')
    names = [line.split('Name:')[1].strip() for file in metafiles for line in file.read_text().splitlines()
             if line.strip().startswith('- Name:') and '_' in line]
    assert names
    found = mim('search', 'mmxattn', '--field', 'config')
    assert not [name for name in names if name not in found]


@pytest.mark.slow
def test_doctor_runs_by_name(mim):
    """From the wheel; on OneDL, where only an editable install does, from that."""
    said = mim('run', 'mmxattn', 'doctor', '--json', **({} if BY_NAME else dict(PYTHONPATH='')))
    report = json.JSONDecoder().raw_decode(said[said.index('{'):])[0]
    assert report['well'] and [check['name'] for check in report['checks'] if check['state'] == 'fails'] == []
    of_mim, = [fault for fault in report['faults'] if fault['what'].startswith(('openmim does', 'onedl-mim'))]
    assert of_mim['state'] == 'gone'


@pytest.mark.slow
@pytest.mark.skipif(BY_NAME, reason='openmim finds a wheel')
def test_doctor_tells_that_onedl_mim_does_not_find_a_wheel(site, mim):
    with pytest.raises(AssertionError, match='prefix'):
        mim('run', 'mmxattn', 'doctor')
    answer = subprocess.run([sys.executable, site / 'mmxattn' / '.mim' / 'tools' / 'doctor.py'], text=True,
                            capture_output=True, env=dict(os.environ, PYTHONPATH=str(site)))
    assert answer.returncode == 0 and '`mim run mmxattn` does not start on a normal install' in answer.stdout


@pytest.mark.slow
def test_the_toolbox_trains_tests_and_resumes_a_recipe(mim, recipe):
    mim('train', TOOLBOX, str(recipe), '--work-dir', 'a', '--cfg-options', 'train_cfg.max_epochs=1', *SHORT)
    checkpoint = mim.folder / 'a' / 'epoch_1.pth'
    assert 'coco/bbox_mAP' in mim('test', TOOLBOX, str(recipe), '--checkpoint', str(checkpoint), '--work-dir', 'tested',
                                  '--cfg-options', *SHORT)
    resumed = mim('train', TOOLBOX, str(recipe), '--work-dir', 'a', '--resume', '--cfg-options',
                  'train_cfg.max_epochs=2', *SHORT)
    assert 'resumed epoch: 1' in resumed
    assert (mim.folder / 'a' / 'epoch_2.pth').exists()


@pytest.mark.slow
@pytest.mark.skipif(not BY_NAME, reason='onedl-mim does not find third-party packages in a wheel install')
def test_mmxattn_trains_tests_and_resumes_by_name(mim, site):
    said = mim('train', 'mmxattn', RECIPE, '--work-dir', 'b', '--cfg-options', 'train_cfg.max_epochs=1', *SHORT)
    assert f'{site}/mmxattn/.mim/tools/train.py' in said  # the wheel's, not the checkout's
    checkpoint = mim.folder / 'b' / 'epoch_1.pth'
    mim('test', 'mmxattn', RECIPE, '--checkpoint', str(checkpoint), '--work-dir', 'tested', '--out', 'found.pkl',
        '--cfg-options', *SHORT)
    assert (mim.folder / 'found.pkl').exists()
    resumed = mim('train', 'mmxattn', RECIPE, '--work-dir', 'b', '--resume', '--cfg-options', 'train_cfg.max_epochs=2',
                  *SHORT)
    assert 'resumed epoch: 1' in resumed


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without GPU')
def test_two_processes_without_gpu(site, recipe, tmp_path):
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2',
               site / 'mmxattn' / '.mim' / 'tools' / 'train.py', recipe, '--launcher', 'pytorch',
               '--work-dir', tmp_path, '--cfg-options', 'train_cfg.max_epochs=1', *SHORT]
    answer = subprocess.run(command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            env=dict(os.environ, PYTHONPATH=str(site), OMP_NUM_THREADS='1'))
    assert answer.returncode == 0, answer.stdout[-3000:]
    assert 'Epoch(train) [1][1/1]' in answer.stdout  # eight images, four to each process
