"""Configs typed by hand with something wrong in them: what is told when their model, or their data set, is built."""
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope
from refusals import contents, refused

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / 'configs' / 'demo'
BASE = f"_base_ = '{DEMO}/faster-rcnn_r18-w32_fpn64_digits.py'\ncustom_imports = dict(imports=['mmxattn'])\n"
SEGFORMER = f"_base_ = '{DEMO}/segformer_mit-b0_digits-160x160.py'\ncustom_imports = dict(imports=['mmxattn'])\n"
FPN = 'in_channels=[32, 64, 128, 256], out_channels=64, num_outs=5'

ROWS = [
    (BASE + "model = dict(neck=dict(type='FINEFPNN'))", KeyError, 'FINEFPNN', 'import-the-custom-module'),
    (BASE + "model = dict(neck=dict(type='FineFPN'))", KeyError, 'FineFPN', 'import-the-custom-module'),
    (BASE + "model = dict(neck=dict(type='mmxattn.FINEFPM'))", KeyError, 'FINEFPM', 'registry'),
    (BASE + "model = dict(neck=dict(type='FINEFPN', kernel_sizes=2))", TypeError, 'kernel_sizes=2', '[1, 2]'),
    (BASE + "model = dict(neck=dict(type='FINEFPN', kernel_size=2))", TypeError, 'FINEFPN: kernel_size=2',
     'kernel_sizes, fine_cfg'),
    (BASE + "model = dict(neck=dict(type='FINEFPN', start_level=6))", ValueError, 'start_level=6', 'count from 0'),
    (BASE + "model = dict(neck=dict(type='FINEFPN', fine_cfg=dict(attention='flash')))", ValueError,
     "attention='flash'", "'linear'"),
    (BASE + "model = dict(neck=dict(type='FINEFPN', fine_cfg=dict(num_head=4)))", ValueError, 'num_head=4',
     'num_heads'),
    (BASE + "model = dict(neck=[{{_base_.model.neck}}, dict(type='CFSAMNeck', in_channels=64)])", TypeError,
     'in_channels=64', 'channels of each level'),
    (BASE + "model = dict(neck=[{{_base_.model.neck}}, dict(type='CFSAMNeck', in_channels=[64] * 5, heads=4)])",
     TypeError, 'CFSAMNeck: heads=4', 'num_heads'),
    (BASE + "model = dict(backbone=dict(plugins=dict(cfg=dict(type='SCSA'), position='after_conv2')))", TypeError,
     "plugins={'cfg'", 'plugins=[dict('),
    (BASE + "model = dict(backbone=dict(plugins=[dict(cfg=dict(type='SCSA'), position='after_conv2')]))", ValueError,
     'depth=18', 'WithPlugins'),
    (BASE + "model = dict(backbone=dict(depth=50, plugins=[dict(cfg=dict(type='SCSA'), position='conv2')]))",
     ValueError, "position='conv2'", "'after_conv2'"),
    (BASE + "model = dict(backbone=dict(depth=50, plugins=[dict(cfg=dict(type='SCSAA'), position='after_conv2')]))",
     ValueError, "type='SCSAA'", 'custom_imports'),
    (BASE + "model = dict(backbone=dict(type='WithPlugins', host='ResNet', plugins=[dict(cfg=dict(type='SCSA'), "
     "after='stage1')]))", ValueError, "r'stage1'", 'near it are'),
    (SEGFORMER + "model = dict(decode_head=dict(type='CLASegformerHead', pairs=[[2, 1], [0, 3]]))", ValueError,
     'pair (2, 1)', 'i finer than j'),
    (SEGFORMER + "model = dict(decode_head=dict(type='CLASegformerHead', patch_size='2'))", TypeError,
     "patch_size='2'", 'whole number'),
    (SEGFORMER + "model = dict(decode_head=dict(type='CLASegformerHeads'))", KeyError, 'CLASegformerHeads',
     'import-the-custom-module'),
]


def build(path):
    cfg = Config.fromfile(path)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model)


@pytest.mark.parametrize('text, kind, words', [(a, b, c) for a, b, *c in ROWS], ids=range(len(ROWS)))
def test_of_a_model(text, kind, words, tmp_path):
    (tmp_path / 'typed.py').write_text(text)
    refused(lambda: build(tmp_path / 'typed.py'), kind, *words)
    assert (tmp_path / 'typed.py').read_text() == text


def test_a_neck_before_the_one_that_it_belongs_behind(tmp_path):
    (tmp_path / 'typed.py').write_text(
        BASE + "model = dict(neck=[dict(type='CFSAMNeck', in_channels=[64] * 5), {{_base_.model.neck}}])")
    model = build(tmp_path / 'typed.py')
    refused(lambda: model.extract_feat(torch.zeros(1, 3, 64, 64)), ValueError, 'got 4 levels',
            'in_channels=[64, 64, 64, 64, 64]', 'put the neck behind')


DATA = [
    (dict(type='VisDroneDataset', data_root='gone', ann_file='a.json', data_prefix=dict(img='')), FileNotFoundError,
     'gone/a.json', 'https://', 'prepare_dataset visdrone'),
    (dict(type='ExDarkDataset', data_root='gone', ann_file='a.json', data_prefix=dict(img='')), FileNotFoundError,
     'gone/a.json', 'https://', 'prepare_dataset exdark'),
    (dict(type='mmdet.VOCDataset', data_root='gone', ann_file='a.txt', data_prefix=dict(sub_data_root='VOC2007')),
     FileNotFoundError, 'gone/a.txt', 'http://', 'prepare_dataset voc'),
    (dict(type='mmseg.CityscapesDataset', data_root='gone',
          data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train')), FileNotFoundError,
     'gone/leftImg8bit/train', 'https://', 'prepare_dataset cityscapes'),
    (dict(type='DigitScenesDataset', split='val'), ValueError, "split='val'", "'train' or 'test'"),
    (dict(type='DigitScenesDataset', split='train', scenes=dict(size=16)), ValueError, 'size=16', 'at least 132'),
    (dict(type='DigitScenesDataset', split='train', number=8), TypeError, 'DigitScenesDataset: number=8', 'scenes'),
    (dict(type='DigitScenesSegDataset', split='train', number=8), TypeError, 'DigitScenesSegDataset: number=8',
     'scenes'),
]


@pytest.mark.parametrize('cfg, kind, words', [(a, b, c) for a, b, *c in DATA], ids=[row[0]['type'] for row in DATA][:4]
                         + ['DigitScenes-split', 'DigitScenes-size', 'DigitScenes-number', 'DigitScenesSeg-number'])
def test_of_data(cfg, kind, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with DefaultScope.overwrite_default_scope('mmdet'):
        refused(lambda: DATASETS.build(cfg), kind, *words)
    assert not contents(tmp_path)


@pytest.mark.slow
def test_without_custom_imports_the_name_is_told(tmp_path):
    (tmp_path / 'typed.py').write_text("_base_ = __import__('mmdet').__path__[0] + '/.mim/configs/faster_rcnn/"
                                       "faster-rcnn_r50_fpn_1x_coco.py'\nmodel = dict(neck=dict(type='FINEFPN'))")
    program = ('import sys\nfrom mmengine.config import Config\nfrom mmengine.registry import init_default_scope\n'
               "init_default_scope('mmdet')\nfrom mmdet.registry import MODELS\n"
               'MODELS.build(Config.fromfile(sys.argv[1]).model)\n')
    done = subprocess.run([sys.executable, '-c', program, tmp_path / 'typed.py'], capture_output=True, text=True,
                          timeout=120, cwd=ROOT)
    told = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and told.startswith('KeyError') and 'FINEFPN is not in' in told
    assert 'import-the-custom-module' in told
