"""The digit scenes on disk: bytes, annotations, and atomic writing."""
import hashlib
import json
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmxattn.datasets import digit_scenes
from mmxattn.datasets.digit_scenes import scene, writer
from mmxattn.datasets.digit_scenes.__main__ import main

SMALL = dict(num_train=3, num_test=2, seed=7)
SHA256 = '34527a5ceb2cfe439aa3f4efcd0c4e71be75f9c103344f5446be5a1ab0467102'


def sha256(root):
    """Hash the names and bytes of all files below ``root``."""
    total = hashlib.sha256()
    for path in sorted(Path(root).rglob('*'), key=lambda path: path.relative_to(root).as_posix()):
        if path.is_file():
            total.update(path.relative_to(root).as_posix().encode() + b'\0' + path.read_bytes())
    return total.hexdigest()


def decode(segmentation):
    """Decode COCO run lengths: column by column, background first."""
    flat, value = [], 0
    for run in segmentation['counts']:
        flat += [value] * run
        value = 1 - value
    height, width = segmentation['size']
    return np.array(flat, bool).reshape(width, height).T


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return digit_scenes.write(num_train=80, num_test=60, cache=tmp_path_factory.mktemp('cache'))


@pytest.fixture(params=['train', 'test'])
def split(request, root):
    """Annotations and folder of a split."""
    return json.loads(Path(root, f'{request.param}.json').read_text()), Path(root, request.param)


def test_bytes_are_the_same_everywhere(tmp_path):
    assert sha256(digit_scenes.write(**SMALL, cache=tmp_path)) == SHA256


def test_scenes_depend_on_seed_and_not_on_count(tmp_path):
    few, more, other = (Path(digit_scenes.write(num_train, 1, seed=seed, cache=tmp_path))
                        for num_train, seed in ((1, 0), (2, 0), (1, 1)))
    image = 'train/images/000000.png'
    assert (few / image).read_bytes() == (more / image).read_bytes() != (other / image).read_bytes()


def test_train_and_test_share_no_source_image(root):
    parts = scene.split_sources(0)
    assert sorted([*parts['train'], *parts['test']]) == list(range(1797))  # disjoint and complete
    target = scene.load_digits()[1]
    for name, rows in parts.items():
        assert set(target[rows]) == set(range(10))
        annotations = json.loads(Path(root, f'{name}.json').read_text())['annotations']
        assert {ann['source'] for ann in annotations} <= set(rows.tolist())
        assert all(target[ann['source']] == ann['category_id'] - 1 for ann in annotations)


def test_distractors_use_source_images_of_the_same_split(monkeypatch):
    sources, seen = scene.split_sources(0)['test'], []

    def record(rng, kind, source, *size, rasterize=scene._rasterize):
        seen.append(source)
        return rasterize(rng, kind, source, *size)

    monkeypatch.setattr(scene, '_rasterize', record)
    for seed in range(5):
        scene.render(np.random.RandomState(seed), sources)
    assert len(seen) > 10 and set(seen) <= set(sources.tolist())


def test_boxes_areas_and_labels_match_masks(split):
    data, folder = split
    assert len({ann['id'] for ann in data['annotations']}) == len(data['annotations'])
    for info in data['images']:
        labels = np.array(Image.open(folder / 'labels' / info['file_name']))
        image = Image.open(folder / 'images' / info['file_name'])
        assert image.mode == 'RGB' and image.size == labels.shape[::-1] == (info['width'], info['height'])
        painted = np.zeros_like(labels)
        for ann in data['annotations']:
            if ann['image_id'] == info['id']:
                mask = decode(ann['segmentation'])
                x, y, w, h = ann['bbox']
                assert ann['area'] == mask.sum() == mask[y:y + h, x:x + w].sum()
                inside = mask[y:y + h, x:x + w]
                assert all(side.any() for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
                assert not painted[mask].any()  # a pixel belongs to one digit
                painted[mask] = ann['category_id']
        assert np.array_equal(painted, labels)


def test_pycocotools_reads_annotations(root):
    pycocotools = pytest.importorskip('pycocotools.coco')
    coco = pycocotools.COCO(os.path.join(root, 'test.json'))
    for ann in coco.dataset['annotations'][:20]:
        assert np.array_equal(coco.annToMask(ann), decode(ann['segmentation']))
    assert [category['name'] for category in coco.loadCats(range(1, 11))] == list('0123456789')


def test_sizes_and_classes_are_covered(split):
    data, _ = split
    area = np.array([ann['area'] for ann in data['annotations']])
    sides = np.array([max(ann['bbox'][2:]) for ann in data['annotations']])
    small, large = (area < 32**2).mean(), (area > 96**2).mean()
    assert small > 0.3 and 1 - small - large > 0.2 and large > 0.02
    assert sides.min() <= 9 and sides.max() > 120 and 8 <= np.quantile(sides, 0.05) and sides.max() <= 128
    assert np.bincount([ann['category_id'] for ann in data['annotations']])[1:].min() >= 5
    assert {ann['image_id'] for ann in data['annotations']} == {info['id'] for info in data['images']}


def test_object_hides_at_most_half_of_a_digit():
    owner = np.full((40, 40), -1, np.int64)
    owner[10:30, 10:30] = 0  # 400 pixels of digit 0
    rng = np.random.RandomState(0)
    full, lower_half = np.ones((40, 40), bool), np.ones((40, 40), bool)
    lower_half[:20] = False
    assert scene._find_window(rng, full, owner, [400]) is None
    assert scene._find_window(rng, lower_half, owner, [400]) == np.s_[0:40, 0:40]  # hides 200
    assert scene._find_window(rng, lower_half, owner, [401]) is None


def test_existing_dataset_is_not_written_again(tmp_path, monkeypatch):
    first = digit_scenes.write(**SMALL, cache=tmp_path)
    monkeypatch.setattr(writer, '_write_split', lambda *args: pytest.fail('written twice'))
    assert digit_scenes.write(**SMALL, cache=tmp_path) == first


@pytest.mark.parametrize('error', [KeyboardInterrupt, OSError('disk full')])
def test_interruption_leaves_no_files(tmp_path, monkeypatch, error):
    files = iter(range(5))

    def interrupted(pixels, encode=writer.encode_png):
        if next(files, None) is None:
            raise error
        return encode(pixels)

    monkeypatch.setattr(writer, 'encode_png', interrupted)
    with pytest.raises((KeyboardInterrupt, OSError)):
        digit_scenes.write(**SMALL, cache=tmp_path)
    assert list((tmp_path / 'digit_scenes').iterdir()) == []


def start(**kwargs):
    """Write in another process. Forking avoids importing the toolboxes again."""
    process = multiprocessing.get_context('fork').Process(target=digit_scenes.write, kwargs=kwargs)
    process.start()
    return process


def test_unfinished_folder_of_killed_process_is_removed_when_stale(tmp_path):
    large = dict(num_train=3000, num_test=1, cache=tmp_path)
    process = start(**large)
    folder, deadline = tmp_path / 'digit_scenes', time.time() + 60
    while not list(folder.glob('.*/train/images/*.png')) and time.time() < deadline:
        time.sleep(0.02)
    process.kill()
    process.join()
    [unfinished] = folder.iterdir()
    assert unfinished.name.startswith('.') and not os.path.exists(digit_scenes.data_root(**large))
    unfinished = folder / ('.' + Path(digit_scenes.data_root(**SMALL, cache=tmp_path)).name + '.abc')
    for age, kept in ((0, True), (2 * writer.STALE_SECONDS, False)):
        unfinished.mkdir(exist_ok=True)
        os.utime(unfinished, (time.time() - age, ) * 2)
        root = digit_scenes.write(**SMALL, cache=tmp_path)
        assert sha256(root) == SHA256 and unfinished.exists() == kept
        Path(root).rename(folder / f'done{age}')


def test_two_processes_can_write_at_once(tmp_path):
    processes = [start(**SMALL, cache=tmp_path) for _ in range(2)]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    root = digit_scenes.data_root(**SMALL, cache=tmp_path)
    assert os.listdir(tmp_path / 'digit_scenes') == [Path(root).name]
    assert sha256(root) == SHA256


def test_second_process_uses_folder_of_first(tmp_path, monkeypatch):
    write_split = writer._write_split

    def overtaken(folder, name, *args):
        write_split(folder, name, *args)
        if name == 'test':
            monkeypatch.setattr(writer, '_write_split', write_split)
            digit_scenes.write(**SMALL, cache=tmp_path)

    monkeypatch.setattr(writer, '_write_split', overtaken)
    root = digit_scenes.write(**SMALL, cache=tmp_path)
    assert sha256(root) == SHA256 and len(os.listdir(tmp_path / 'digit_scenes')) == 1


def test_data_root_follows_environment_and_creates_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv('MMXATTN_CACHE', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
    assert Path(digit_scenes.data_root()).parent == tmp_path / 'xdg/mmxattn/digit_scenes'
    monkeypatch.setenv('MMXATTN_CACHE', str(tmp_path / 'cache'))
    assert Path(digit_scenes.data_root()).parent == tmp_path / 'cache/digit_scenes'
    assert Path(digit_scenes.data_root(cache=tmp_path)).parent == tmp_path / 'digit_scenes'
    monkeypatch.delenv('MMXATTN_CACHE')
    monkeypatch.delenv('XDG_CACHE_HOME')
    assert Path(digit_scenes.data_root()).parent == Path.home() / '.cache/mmxattn/digit_scenes'
    assert list(tmp_path.iterdir()) == []
    names = {digit_scenes.data_root(*args) for args in ((1, 1), (2, 1), (1, 2), (1, 1, 192), (1, 1, 160, 1))}
    assert len(names) == 5


@pytest.mark.parametrize('arguments, message', [
    (dict(num_train=0), 'num_train=0'), (dict(num_test=-1), 'num_test=-1'), (dict(size=96), 'size=96'),
    (dict(seed=-1), 'seed=-1'), (dict(seed=2**32), 'seed=4294967296')])
def test_invalid_arguments_are_rejected(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        digit_scenes.write(**arguments, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_command_line(tmp_path, capsys):
    args = '--num-train 3 --num-test 2 --seed 7 --split test --cache'.split() + [str(tmp_path)]
    main(args + ['--sheet', str(tmp_path / 'sheet.png')])
    out, err = capsys.readouterr()
    assert out.strip() == digit_scenes.data_root(**SMALL, cache=tmp_path)
    assert 'digit scenes, train: 3/3' in err and 'digit scenes, test: 2/2' in err
    sheet = np.array(Image.open(tmp_path / 'sheet.png'))
    assert sheet.shape == (4 * 320, 6 * 320, 3) and (sheet == (255, 0, 0)).all(-1).sum() > 500  # boxes
    with pytest.raises(SystemExit) as stop:
        main(['--size', '100'])
    assert stop.value.code == 2 and 'size=100' in capsys.readouterr().err
