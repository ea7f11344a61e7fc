"""mim with an installed wheel, outside the checkout."""
import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
CONFIG = 'faster-rcnn_r18-w32_fine-fpn64_digits.py'
SHORT = ['train_dataloader.batch_size=4', 'train_cfg.val_interval=1']
for mode in ('train', 'val', 'test'):
    SHORT += [f'{mode}_dataloader.{entry}' for entry in ('num_workers=0', 'persistent_workers=False',
                                                         'dataset.indices=8')]
try:
    version('onedl-mim')
    TOOLBOX, IS_OPENMIM = 'onedl-mmdetection', False
except PackageNotFoundError:
    TOOLBOX, IS_OPENMIM = 'mmdet', True
# onedl-mim takes the first file in the metadata of a package for its folder, which is the metadata itself for packages
# whose name is that of their module.
NEEDS_OPENMIM = pytest.mark.skipif(not IS_OPENMIM, reason='onedl-mim does not find third-party wheels')


@pytest.fixture(scope='module')
def site(wheel, tmp_path_factory) -> Path:
    """A folder with mmxattn installed from its wheel."""
    folder = tmp_path_factory.mktemp('site')
    subprocess.run([sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--target', folder, wheel],
                   check=True)
    return folder


@pytest.fixture
def mim(site, tmp_path):
    """Return a function that runs mim in an empty folder and returns the output."""
    def run(*arguments, **environment) -> str:
        process = subprocess.run([sys.executable, '-m', 'mim', *arguments], cwd=tmp_path, text=True,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 env={**os.environ, 'PYTHONPATH': str(site), 'OMP_NUM_THREADS': '1', **environment})
        assert process.returncode == 0, process.stdout[-3000:]
        return process.stdout

    return run


@NEEDS_OPENMIM
def test_search_finds_every_published_config(mim, site):
    metafiles = (site / 'mmxattn' / '.mim' / 'configs').glob('*/metafile.yml')
    names = [line.split('Name:')[1].strip() for file in metafiles for line in file.read_text().splitlines()
             if line.strip().startswith('- Name:') and '_' in line]
    assert names
    found = mim('search', 'mmxattn', '--field', 'config')
    assert not [name for name in names if name not in found]


def test_doctor_runs_by_name(mim):
    """Run the installed wheel, or the editable install with OneDL, whose mim does not find wheels."""
    output = mim('run', 'mmxattn', 'doctor', '--json', **({} if IS_OPENMIM else dict(PYTHONPATH='')))
    report = json.JSONDecoder().raw_decode(output[output.index('{'):])[0]
    assert report['healthy'] and not [check for check in report['checks'] if check['state'] == 'failed']
    states = [issue['state'] for issue in report['known_issues']
              if issue['description'].startswith(('openmim does', 'onedl-mim'))]
    assert states == ['inactive']


@pytest.mark.skipif(IS_OPENMIM, reason='openmim finds wheels')
def test_doctor_reports_that_onedl_mim_does_not_find_wheels(site, mim):
    with pytest.raises(AssertionError, match='prefix'):
        mim('run', 'mmxattn', 'doctor')
    process = subprocess.run([sys.executable, site / 'mmxattn' / '.mim' / 'tools' / 'doctor.py'], text=True,
                             capture_output=True, env=dict(os.environ, PYTHONPATH=str(site)))
    assert process.returncode == 0 and '`mim run mmxattn` fails unless mmxattn is installed with -e' in process.stdout


@pytest.mark.parametrize('package', [TOOLBOX, pytest.param('mmxattn', marks=NEEDS_OPENMIM)])
def test_train_test_and_resume(package, mim, site, tmp_path):
    by_name = package == 'mmxattn'
    config = CONFIG if by_name else str(site / 'mmxattn' / '.mim' / 'configs' / 'demo' / CONFIG)
    output = mim('train', package, config, '--work-dir', 'run', '--cfg-options', 'train_cfg.max_epochs=1', *SHORT)
    assert not by_name or f'{site}/mmxattn/.mim/tools/train.py' in output  # not the checkout's
    output = mim('test', package, config, '--checkpoint', str(tmp_path / 'run' / 'epoch_1.pth'), '--work-dir', 'tested',
                 '--out', 'predictions.pkl', '--cfg-options', *SHORT)
    assert 'coco/bbox_mAP' in output and (tmp_path / 'predictions.pkl').exists()
    output = mim('train', package, config, '--work-dir', 'run', '--resume', '--cfg-options', 'train_cfg.max_epochs=2',
                 *SHORT)
    assert 'resumed epoch: 1' in output and (tmp_path / 'run' / 'epoch_2.pth').exists()
