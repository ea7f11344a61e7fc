import contextlib
import os
import pickle
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import torch
from mmdet.models.dense_heads import SSDHead
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmseg.models.backbones import SwinTransformer

from mmxattn import patches


class Bomb:
    """Object that creates a folder when unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder, )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Checkpoints that cannot be loaded."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    bomb = dict(state_dict=Bomb(str(tmp_path / 'exploded')))
    torch.save(bomb, tmp_path / 'bomb.pth')
    (tmp_path / 'legacy_bomb.pth').write_bytes(pickle.dumps(bomb))
    torch.save(dict(state_dict=dict(w=torch.ones(999))), tmp_path / 'truncated.pth')
    (tmp_path / 'truncated.pth').write_bytes((tmp_path / 'truncated.pth').read_bytes()[:1000])
    (tmp_path / 'empty.pth').write_bytes(b'')
    (tmp_path / 'lfs_pointer.pth').write_text('version https://git-lfs.github.com/spec/v1\n')
    return tmp_path


UNREADABLE = [('bomb.pth', 'would run code'), ('legacy_bomb.pth', 'would run code'),
              ('lfs_pointer.pth', 'not a file of tensors'), ('truncated.pth', 'truncated or damaged'),
              ('empty.pth', 'truncated or damaged')]


@contextlib.contextmanager
def served(folder):
    """Serve a folder over HTTP; yields its URL."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(SimpleHTTPRequestHandler, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f'http://127.0.0.1:{server.server_port}'
    finally:
        server.shutdown()
        server.server_close()


def test_checkpoints_of_training_load_with_weights_only(tmp_path):
    hub = MessageHub('training')
    hub.update_scalar('train/loss', torch.tensor(0.5))
    hub.update_scalar('train/lr', 0.1, count=3)
    hub.update_info('iter', 7)
    torch.save(dict(state_dict=dict(w=torch.ones(2)), message_hub=hub.state_dict()), tmp_path / 'iter_7.pth')
    loaded = torch.load(tmp_path / 'iter_7.pth', weights_only=True)
    buffer = loaded['message_hub']['log_scalars']['train/loss']
    assert isinstance(buffer, HistoryBuffer)
    assert buffer.mean() == 0.5 and buffer.current() == 0.5


@pytest.mark.parametrize('owner, name', [(HistoryBuffer, '__init__'), (dict, 'mean'), (HistoryBuffer, 'update')])
def test_checkpoints_may_only_look_up_statistics(owner, name):
    with pytest.raises(pickle.UnpicklingError, match=name):
        patches.history_buffer_method(owner, name)


def test_checkpoint_runs_code_without_the_protection(folder):
    """The tests below would fail without ``weights_only``."""
    torch.load(folder / 'bomb.pth', weights_only=False)
    assert (folder / 'exploded').is_dir()


@pytest.mark.parametrize('name, reason', UNREADABLE)
def test_unreadable_file_is_named_and_not_executed(name, reason, folder):
    swin = SwinTransformer(embed_dims=4, depths=(1, ) * 4, num_heads=(1, ) * 4,
                           init_cfg=dict(type='Pretrained', checkpoint=str(folder / name)))
    for load in (lambda: load_checkpoint(torch.nn.Linear(1, 1), str(folder / name)), swin.init_weights):
        with pytest.raises(ValueError, match=f'{name}.*{reason}'):
            load()
    assert not (folder / 'exploded').exists()


@pytest.mark.parametrize('name, reason', [UNREADABLE[0], UNREADABLE[3]])
def test_unreadable_url_is_named_and_not_executed(name, reason, folder):
    with served(folder) as url, pytest.raises(ValueError, match=f'{url}/{name}.*{reason}'):
        load_checkpoint(torch.nn.Linear(1, 1), f'{url}/{name}')
    assert not (folder / 'exploded').exists()


def test_unreachable_url_is_named(folder):
    with served(folder) as url, pytest.raises(ConnectionError, match=f'{url}/absent.pth.*404'):
        load_checkpoint(torch.nn.Linear(1, 1), f'{url}/absent.pth')
    with pytest.raises(ConnectionError, match=f'{url}/bomb.pth'):  # the server is down
        load_checkpoint(torch.nn.Linear(1, 1), f'{url}/bomb.pth')


@pytest.mark.parametrize('name, problem', [('absent.pth', 'does not exist'), ('', 'is a folder')])
def test_missing_file_is_named(name, problem, folder):
    with pytest.raises(FileNotFoundError, match=f'{problem}. Pass the path of a .pth file'):
        load_checkpoint(torch.nn.Linear(1, 1), str(folder / name))


def test_ssd_head_has_a_loss_cls_that_a_subclass_may_set():

    class Own(SSDHead):

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.loss_cls = torch.nn.CrossEntropyLoss()

    init_default_scope('mmdet')
    cfg = dict(num_classes=3, in_channels=(8, 8), anchor_generator=dict(
        type='SSDAnchorGenerator', scale_major=False, input_size=64, strides=[8, 16], ratios=([2], [2]),
        min_sizes=[10, 20], max_sizes=[20, 40]))
    assert SSDHead(**cfg).loss_cls is None
    assert isinstance(Own(**cfg).loss_cls, torch.nn.CrossEntropyLoss)
