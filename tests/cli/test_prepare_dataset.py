"""Dataset conversion from the command line."""
from pathlib import Path

import pytest
import synthetic_datasets

TRAIN, VAL = 'instances_train.json', 'instances_val.json'


@pytest.fixture
def prepare(tool):
    return lambda *arguments: tool('prepare_dataset', *arguments)


def test_help_lists_datasets_with_folders_and_download_pages(prepare):
    code, output, _ = prepare()
    assert code == 0
    for text in ('--source', 'visdrone', 'exdark', 'flir', 'voc', 'cityscapes', 'https://www.cityscapes-dataset.com/',
                 'data/VisDrone2019-DET'):
        assert text in output


@pytest.mark.parametrize('name', ['visdrone', 'exdark', 'flir', 'voc', 'cityscapes'])
def test_missing_dataset_reports_where_to_download_it(name, prepare):
    for arguments in ((), ('--source', 'nowhere')):
        code, output, errors = prepare(name, *arguments)
        assert code == 1 and not output
        assert 'does not exist' in errors and 'Download the dataset from http' in errors
        assert f'mim run mmxattn prepare_dataset {name} --source' in errors


def test_converted_splits_are_kept_unless_overwritten(prepare, tmp_path):
    synthetic_datasets.visdrone(tmp_path / 'unpacked')
    code, output, _ = prepare('visdrone', '--source', 'unpacked')
    assert code == 0
    assert f'data/VisDrone2019-DET/annotations/{TRAIN}: 3 images, 2 objects, 2 ignored regions' in output
    assert '1 boxes clipped to their image' in output
    assert prepare('visdrone')[1].count(': exists') == 2
    assert prepare('visdrone', '--source', 'unpacked', '--target', 'elsewhere')[0] == 0
    assert (tmp_path / 'elsewhere' / 'annotations' / VAL).is_file()
    assert '3 images' in prepare('visdrone', '--overwrite')[1]


def test_malformed_annotation_is_reported_with_file_and_line(prepare, tmp_path):
    synthetic_datasets.visdrone(tmp_path / 'data/VisDrone2019-DET')
    (tmp_path / 'data/VisDrone2019-DET/VisDrone2019-DET-val/annotations/d.txt').write_text('1;2;3;4')
    _, output, errors = prepare('visdrone')
    assert 'd.txt, line 1: expected left,top' in errors and f'{TRAIN}: 3 images' in output


def test_interrupted_conversion_continues(prepare, tmp_path, monkeypatch):
    synthetic_datasets.visdrone(tmp_path / 'data/VisDrone2019-DET')
    read_text = Path.read_text

    def interrupt(path, *args, **kwargs):
        if path.name == 'e.txt':
            raise KeyboardInterrupt
        return read_text(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, 'read_text', interrupt)
        _, output, errors = prepare('visdrone')
    assert 'Stopped. To continue, run:' in errors and f'{TRAIN}: 3 images' in output
    assert [path.name for path in (tmp_path / 'data/VisDrone2019-DET/annotations').iterdir()] == [TRAIN]
    code, output, _ = prepare('visdrone')
    assert code == 0 and f'{TRAIN}: exists' in output and f'{VAL}: 2 images' in output
