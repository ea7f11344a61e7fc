"""The batch size that a recipe's learning rate is scaled from is the one that it was chosen for."""
import re
from fnmatch import fnmatch

import pytest
from mmengine.config import Config

import recipes

PAGE = (recipes.CONFIGS.parent / 'docs' / 'clusters.md').read_text()
TABLE = {name: int(base) for names, base in re.findall(r'^\| (`.+?) \| (\d+) \|', PAGE, re.MULTILINE)
         for name in re.findall('`(.+?)`', names)}
EVERY_RECIPE = [pytest.param(path, id=name) for name, path in recipes.published()]


def run_of(cfg, stem):
    """GPUs and images a GPU: as the name has it, or mmdet's eight GPUs."""
    named = re.search(r'_(\d+)xb(\d+)', stem)
    return (int(named[1]), int(named[2])) if named else (8, cfg.train_dataloader.batch_size)


@pytest.mark.parametrize('path', EVERY_RECIPE)
def test_is_scaled_from_the_batch_of_the_run(path):
    cfg = Config.fromfile(path)
    gpus, images = run_of(cfg, path.stem)
    assert images == cfg.train_dataloader.batch_size
    base = cfg.get('auto_scale_lr', {}).get('base_batch_size')
    if cfg.default_scope == 'mmseg':
        assert base is None  # as in mmseg's own; the tools then ask for it
        return
    tuned = 16 if path.stem.startswith('rtmdet') else gpus * images  # mmdet's own mistake, of which the page warns
    assert base == tuned
    if gpus > 1:
        assert [value for name, value in TABLE.items() if fnmatch(path.stem, f'{name}*')] == [base]
    else:
        assert f'`1xb{base}`' in PAGE


@pytest.mark.parametrize('path', sorted((recipes.CONFIGS / 'demo').glob('*.py')), ids=lambda path: path.stem)
def test_the_demos_run_is_one_process(path):
    cfg = Config.fromfile(path)
    base = cfg.get('auto_scale_lr', {}).get('base_batch_size')
    assert base == (None if cfg.default_scope == 'mmseg' else cfg.train_dataloader.batch_size)


def test_the_page_warns_of_rtmdet():
    cfg = Config.fromfile(recipes.CONFIGS / 'fine' / 'rtmdet_s_fine-pafpn_8xb32-300e_coco.py')
    assert 8 * cfg.train_dataloader.batch_size == 256 != cfg.auto_scale_lr.base_batch_size
    assert '| `rtmdet` | 16 | **256**' in PAGE and 'auto_scale_lr.base_batch_size=256' in PAGE


@pytest.mark.parametrize('path', [path for _, path in recipes.published() if '_1xb2-1x_coco' in path.stem],
                         ids=lambda path: path.stem)
def test_scsas_run_has_the_rate_of_two_images(path):
    """The stock rate, in proportion."""
    ours = Config.fromfile(path)
    stock = Config.fromfile(path.with_name(path.name.replace('_1xb2-1x_', '_1x_')))
    scale = ours.auto_scale_lr.base_batch_size / stock.auto_scale_lr.base_batch_size
    assert ours.optim_wrapper.optimizer.lr == pytest.approx(stock.optim_wrapper.optimizer.lr * scale)
