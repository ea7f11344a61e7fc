"""Atomic writes leave the old or the new file, whenever they are interrupted."""
import builtins
import os

import pytest

from mmxattn.utils.atomic_files import remove_partial_files, write_atomic, write_json


class Killed(BaseException):
    """Exception in place of SIGKILL."""


@pytest.mark.parametrize('step', ['write', 'fsync', 'replace'])
def test_interrupted_write_keeps_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / 'some.pth'
    write_atomic(path, b'old', durable=True)

    def kill(*args, **kwargs):
        raise Killed

    def write_half(name, mode='r', *args):
        with real_open(name, 'wb') as file:
            file.write(b'ne')
        raise Killed

    real_open = open
    with monkeypatch.context() as patch:
        if step == 'write':
            patch.setattr(builtins, 'open', write_half)
        else:
            patch.setattr(os, step, kill)
        with pytest.raises(Killed):
            write_atomic(path, b'new', durable=True)
    assert path.read_bytes() == b'old'
    remove_partial_files(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ['some.pth']


def test_full_disk_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')

    write_atomic(tmp_path / 'some.pth', b'old', durable=True)
    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='No space left'):
        write_atomic(tmp_path / 'some.pth', b'new', durable=True)
    assert [file.name for file in tmp_path.iterdir()] == ['some.pth']
    assert (tmp_path / 'some.pth').read_bytes() == b'old'


def test_durable_write_flushes_the_content_before_the_rename(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, 'fsync', lambda handle: (order.append('fsync'), fsync(handle)))
    monkeypatch.setattr(os, 'replace', lambda *names: (order.append('replace'), replace(*names)))
    write_atomic(tmp_path / 'some.pth', b'new', durable=True)
    assert order == ['fsync', 'replace', 'fsync']  # the file, its name, the folder


def test_json_that_cannot_be_written_keeps_the_old_file(tmp_path):
    write_json(tmp_path / 'new' / 'a.json', dict(b=1))
    with pytest.raises(TypeError):
        write_json(tmp_path / 'new' / 'a.json', dict(b=object()))
    assert (tmp_path / 'new' / 'a.json').read_text() == '{\n  "b": 1\n}\n'
