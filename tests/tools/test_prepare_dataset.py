"""Preparing a data set as a person does it: from the command line."""
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import synthetic_datasets as synthetic

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Function of arguments: exit code or sentence, and what was printed; run in an empty folder."""
    monkeypatch.syspath_prepend(TOOLS)
    monkeypatch.chdir(tmp_path)
    tool = importlib.import_module('prepare_dataset')
    capsys.readouterr()  # of what the toolboxes print when they are imported

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['prepare_dataset.py', *map(str, arguments)])
        code = 0
        try:
            tool.main()
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr().out

    return run


def test_as_a_script_it_tells_its_use():
    output = subprocess.run([sys.executable, TOOLS / 'prepare_dataset.py'], capture_output=True, text=True)
    assert output.returncode == 0
    for words in ('as its makers hand it out', '--source', 'visdrone', 'exdark', 'flir', 'voc', 'cityscapes',
                  'https://www.cityscapes-dataset.com/', 'data/VisDrone2019-DET'):
        assert words in output.stdout


@pytest.mark.parametrize('name', ['visdrone', 'exdark', 'flir', 'voc', 'cityscapes'])
def test_what_is_not_there_is_told_with_the_way_to_get_it(name, call):
    for arguments in ((), ('--source', 'nowhere')):
        sentence, output = call(name, *arguments)
        assert 'does not exist' in sentence and 'Download the dataset from http' in sentence and not output
        assert f'mim run mmxattn prepare_dataset {name} --source' in sentence


def test_counts_are_printed_and_a_second_call_has_nothing_to_do(call, tmp_path):
    synthetic.visdrone(tmp_path / 'unpacked')
    code, output = call('visdrone', '--source', 'unpacked')
    assert code == 0
    assert 'data/VisDrone2019-DET/annotations/instances_train.json: 3 images, 2 objects, 2 ignored regions' in output
    assert '1 boxes clipped to their image' in output
    assert call('visdrone')[1].count('ready already') == 2
    assert call('visdrone', '--source', 'unpacked', '--target', 'elsewhere')[0] == 0
    assert (tmp_path / 'elsewhere/annotations/instances_val.json').is_file()
    assert '3 images' in call('visdrone', '--overwrite')[1]


def test_a_wrong_file_is_a_sentence(call, tmp_path):
    synthetic.visdrone(tmp_path / 'data/VisDrone2019-DET')
    (tmp_path / 'data/VisDrone2019-DET/VisDrone2019-DET-val/annotations/d.txt').write_text('1;2;3;4')
    sentence, output = call('visdrone')
    assert "d.txt, line 1: expected left,top" in sentence and 'instances_train.json: 3 images' in output


def test_ctrl_c_keeps_what_is_ready(call, tmp_path, monkeypatch):
    synthetic.visdrone(tmp_path / 'data/VisDrone2019-DET')
    read, calls = Path.read_text, []

    def interrupted(path, *args, **kwargs):
        calls.append(path.name)
        if path.name == 'e.txt':
            raise KeyboardInterrupt
        return read(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, 'read_text', interrupted)
        sentence, output = call('visdrone')
    assert 'Stopped' in sentence and 'instances_train.json: 3 images' in output
    written = (tmp_path / 'data/VisDrone2019-DET/annotations').iterdir()
    assert [path.name for path in written] == ['instances_train.json']
    code, output = call('visdrone')
    assert code == 0 and 'instances_train.json: ready already' in output and 'instances_val.json: 2 images' in output
