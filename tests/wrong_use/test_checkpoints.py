"""Checkpoints that do not belong, are damaged, or would run code: refused by name, and never run."""
import contextlib
import os
import pickle
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from threading import Thread

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import load_checkpoint
from mmseg.models.backbones import SwinTransformer
from refusals import contents, refused

import mmxattn  # noqa: F401  its import lets mmengine name what cannot be read
from mmxattn.utils.checkpoints import load_model
from mmxattn.utils.config import build_model

DEMO = Path(__file__).resolve().parents[2] / 'configs' / 'demo'
TOOLS = Path(__file__).resolve().parents[2] / 'tools'
OURS = DEMO / 'faster-rcnn_r18-w32_fine-fpn64_digits.py'


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder, )


@pytest.fixture(scope='module')
def weights():
    """Of the recipe's model."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        return build_model(Config.fromfile(OURS)).state_dict()


@pytest.fixture
def folder(tmp_path, weights):
    """A folder of files that are none of the recipe's, and a whole one."""
    torch.save(dict(state_dict=weights), tmp_path / 'whole.pth')
    torch.save(dict(state_dict={k: torch.cat([v, v]) if v.dim() else v for k, v in weights.items()}),
               tmp_path / 'wider.pth')
    torch.save(dict(state_dict={k: v for k, v in weights.items() if '.fine.' not in k}), tmp_path / 'stock.pth')
    torch.save(dict(state_dict={f'blocks.{k}': v for k, v in weights.items()}), tmp_path / 'other.pth')
    torch.save(dict(state_dict=Bomb(str(tmp_path / 'exploded'))), tmp_path / 'bomb.pth')
    (tmp_path / 'plain_bomb.pth').write_bytes(pickle.dumps(dict(state_dict=Bomb(str(tmp_path / 'exploded')))))
    whole = (tmp_path / 'whole.pth').read_bytes()
    (tmp_path / 'cut.pth').write_bytes(whole[:len(whole) // 2])
    (tmp_path / 'empty.pth').write_bytes(b'')
    (tmp_path / 'text.pth').write_text('version https://git-lfs.github.com/spec/v1\n')
    torch.save([1, 2], tmp_path / 'list.pth')
    torch.save(dict(epoch=3), tmp_path / 'no_weights.pth')
    return tmp_path


@contextlib.contextmanager
def served(folder):
    """The address at which a folder's files are, for a while."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(SimpleHTTPRequestHandler, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f'http://127.0.0.1:{server.server_port}'
    finally:
        server.shutdown()
        server.server_close()


def named(value):
    """The id of a row: the file's name alone."""
    return value if isinstance(value, str) else ''


UNREADABLE = [
    ('bomb.pth', 'would run code', 'Give one that training wrote'),
    ('plain_bomb.pth', 'would run code', 'Give one that training wrote'),
    ('text.pth', 'no file of tensors', 'Give one that training wrote'),
    ('cut.pth', 'cannot be read', 'ive one that training wrote'),
    ('empty.pth', 'cannot be read', 'ive one that training wrote'),
]
MISFITS = [
    ('wider.pth', 'keys of another shape', 'the recipe that wrote this one'),
    ('stock.pth', 'keys missing (neck.fine', 'the recipe that wrote this one'),
    ('other.pth', 'that the model has not (blocks.', 'the recipe that wrote this one'),
    ('list.pth', 'holds no weights', 'give one that training wrote'),
    ('no_weights.pth', 'holds no weights', 'give one that training wrote'),
    ('absent.pth', 'There is no checkpoint', 'give the path of a .pth'),
]


@pytest.mark.parametrize('name, words', [(a, b) for a, *b in UNREADABLE + MISFITS], ids=named)
def test_for_an_evaluation(name, words, folder):
    before = contents(folder)
    with DefaultScope.overwrite_default_scope('mmdet'):
        refused(lambda: load_model(Config.fromfile(OURS), folder / name), ValueError, name, *words)
    assert contents(folder) == before and not (folder / 'exploded').exists()


@pytest.mark.parametrize('name, words', [(a, b) for a, *b in UNREADABLE], ids=named)
def test_for_mmengine(name, words, folder):
    """As load_from, init_cfg and OpenMMLab's own tools load."""
    before = contents(folder)
    refused(lambda: load_checkpoint(torch.nn.Linear(1, 1), str(folder / name)), ValueError, name, *words)
    assert contents(folder) == before and not (folder / 'exploded').exists()


@pytest.mark.parametrize('name, kind, words', [
    *((a, ValueError, b) for a, *b in UNREADABLE), ('absent.pth', FileNotFoundError, ['is not there', 'a .pth file']),
    ('', FileNotFoundError, ['is a folder', 'a .pth file'])], ids=lambda value: value if isinstance(value, str) else '')
def test_for_a_backbone_that_loads_by_itself(name, kind, words, folder):
    before = contents(folder)
    swin = SwinTransformer(embed_dims=4, depths=(1, ) * 4, num_heads=(1, ) * 4,
                           init_cfg=dict(type='Pretrained', checkpoint=str(folder / name)))
    refused(swin.init_weights, kind, name, *words)
    assert contents(folder) == before and not (folder / 'exploded').exists()


@pytest.mark.parametrize('name', ['bomb.pth', 'text.pth', 'cut.pth'])
def test_from_an_address(name, folder, tmp_path_factory, monkeypatch):
    """As load_from and init_cfg load what lies on the network."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path_factory.mktemp('home')))
    before = contents(folder)
    with served(folder) as address:
        refused(lambda: load_checkpoint(torch.nn.Linear(1, 1), f'{address}/{name}'), ValueError, f'{address}/{name}',
                'cannot be read')
    assert contents(folder) == before and not (folder / 'exploded').exists()


def test_from_an_address_that_has_it_not(folder, tmp_path_factory, monkeypatch, tool):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path_factory.mktemp('home')))
    with served(folder) as address:
        told = f'{address}/absent.pth', '404', 'an address that answers'
        refused(lambda: load_checkpoint(torch.nn.Linear(1, 1), f'{address}/absent.pth'), ConnectionError, *told)
        code, said = tool('test', OURS, f'{address}/absent.pth')
    assert code == 1 and all(word in said for word in told)
    refused(lambda: load_checkpoint(torch.nn.Linear(1, 1), f'{address}/whole.pth'), ConnectionError,
            f'{address}/whole.pth', 'an address that answers')


@pytest.mark.parametrize('strategy', ['DeepSpeedStrategy', 'FSDPStrategy', 'ColossalAIStrategy'])
def test_a_folder_of_shards_passes(strategy, folder, monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    cfg = Config(dict(runner_type='FlexibleRunner', strategy=dict(type=strategy)))
    assert import_module('given').check_checkpoint(cfg, str(folder)) is None


def test_the_bombs_are_live(folder):
    """Whoever switches the protection off runs them: what the tests above hold is the protection."""
    torch.load(folder / 'bomb.pth', weights_only=False)
    assert (folder / 'exploded').is_dir()


@pytest.mark.parametrize('name, words', [('bomb.pth', ('would run code', )), ('wider.pth', ('of another shape', )),
                                         ('stock.pth', ('keys missing', )), ('cut.pth', ('cannot be read', ))])
def test_for_the_test_tool(name, words, folder, tool):
    before = contents(folder)
    code, told = tool('test', OURS, folder / name)
    assert code == 1 and name in told and all(word in told for word in words)
    assert contents(folder) == before and not (folder / 'exploded').exists()


@pytest.mark.parametrize('name, words', [('bomb.pth', ('would run code', )), ('wider.pth', ('of another shape', )),
                                         ('stock.pth', ('keys missing', )),
                                         ('cut.pth', ('is cut short', 'no whole one', 'leave --resume out'))])
def test_to_go_on_from(name, words, folder, tool):
    before = contents(folder)
    code, told = tool('train', OURS, '--resume', folder / name)
    assert code == 1 and name in told and all(word in told for word in words)
    assert contents(folder) == before and not (folder / 'exploded').exists()


@pytest.mark.parametrize('name, words', [
    ('bomb.pth', ('would run code', )), ('cut.pth', ('cut short or damaged', )),
    ('absent.pth', ('There is no checkpoint', 'or none')), ('list.pth', ('has 0 entries', 'a like model')),
    ('other.pth', ('none of them is a weight', 'a like model'))])
def test_to_start_from(name, words, folder, tool):
    before = contents(folder)
    code, told = tool('train', OURS, '--cfg-options', f'load_from={folder / name}')
    assert code == 1 and name in told and all(word in told for word in words)
    assert contents(folder) == before and not (folder / 'exploded').exists()


@pytest.mark.parametrize('name', ['whole.pth', 'stock.pth', 'wider.pth', 'at an address', 'kept by torch',
                                  'torchvision://resnet50', None])
def test_a_start_that_has_something_passes(name, folder, monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    monkeypatch.setenv('TORCH_HOME', str(folder))
    (folder / 'hub' / 'checkpoints').mkdir(parents=True)
    (folder / 'hub' / 'checkpoints' / 'kept.pth').write_bytes(b'')
    cfg = Config.fromfile(OURS)
    with served(folder) as address, DefaultScope.overwrite_default_scope('mmdet'):
        cfg.load_from = {'at an address': f'{address}/whole.pth', 'kept by torch': 'https://nowhere.invalid/kept.pth',
                         'torchvision://resnet50': name, None: None}.get(name, str(folder / str(name)))
        assert import_module('given').check_start(cfg) is None


@pytest.mark.parametrize('name, word', [('bomb.pth', 'would run code'), ('cut.pth', 'cut short'),
                                        ('whole.pth', "no weights of RT-DETR's release"),
                                        ('list.pth', "no weights of RT-DETR's release")])
def test_to_convert(name, word, folder, tool):
    before = contents(folder)
    code, told = tool('convert_rtdetr', folder / name, folder / 'ours.pth')
    assert code == 1 and word in told
    assert contents(folder) == before and not (folder / 'exploded').exists()
