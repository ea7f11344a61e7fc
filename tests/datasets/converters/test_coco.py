"""COCO files in the making."""
import json

import made_datasets as made
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmxattn.datasets.converters.coco import CocoFile, write_split
from mmxattn.utils.atomic_files import write_atomic

SIZE = dict(id=1, width=40, height=30)
sides = st.one_of(st.integers(-60, 60), st.floats(-60, 60, allow_nan=False))


@given(st.tuples(sides, sides, sides, sides))
def test_a_box_is_cut_to_its_image_or_left_out(box):
    coco = CocoFile(['a'])
    inside = coco.inside(SIZE, box)
    columns, rows = ((max(start, 0), min(start + length, end))
                     for start, length, end in zip(box[:2], box[2:], (40, 30)))
    if inside is None:
        assert columns[1] - columns[0] < 1 or rows[1] - rows[0] < 1
        assert sum(coco.counts.values()) == 1
        return
    left, top, width, height = inside
    assert (left, top) == (columns[0], rows[0])
    assert left + width == pytest.approx(columns[1]) and top + height == pytest.approx(rows[1])
    assert width >= 1 and height >= 1
    again = CocoFile(['a'])
    assert again.inside(SIZE, inside) == pytest.approx(inside)


def test_an_ignored_region_is_a_crowd_of_every_class():
    coco = CocoFile(['a', 'b', 'c'])
    coco.add_ignored_region(SIZE, (0, 0, 10, 10))
    coco.add_object(SIZE, 'b', (5, 5, 4, 4))
    assert [(a['category_id'], a['iscrowd']) for a in coco.annotations] == [(1, 1), (2, 1), (3, 1), (2, 0)]
    assert [a['id'] for a in coco.annotations] == [1, 2, 3, 4]
    assert coco.counts['ignored regions'] == coco.counts['objects'] == 1


def test_sizes_are_those_of_the_pixels_and_images_that_cannot_be_read_are_counted(tmp_path):
    made.image(tmp_path / 'a.jpg', 20, 10)
    turned = Image.Exif()
    turned[0x0112] = 6  # turn by 90 degrees to look at
    with Image.open(tmp_path / 'a.jpg') as image:
        image.save(tmp_path / 'turned.jpg', exif=turned)
    (tmp_path / 'broken.jpg').write_bytes(b'no image')
    coco = CocoFile(['a'])
    for name in ('a.jpg', 'turned.jpg'):
        info = coco.add_image(tmp_path / name, name)
        assert (info['width'], info['height']) == (20, 10)
    for name in ('broken.jpg', 'absent.jpg'):
        assert coco.add_image(tmp_path / name, name) is None
    assert coco.add_image(None, 'unknown.jpg') is None
    assert dict(coco.counts) == {'images': 2, 'objects': 0, 'images that cannot be read (left out)': 1,
                                 'images that are not there (left out)': 2}


def fill_with(path):
    return lambda coco: coco.add_image(path, path.name)


def test_a_split_is_written_once_unless_it_is_to_be_overwritten(tmp_path):
    made.image(tmp_path / 'a.jpg')
    file = tmp_path / 'annotations' / 'train.json'
    assert write_split(file, ['x', 'y'], fill_with(tmp_path / 'a.jpg'), False).counts['images'] == 1
    content = json.loads(file.read_text())
    assert content['categories'] == [dict(id=1, name='x'), dict(id=2, name='y')]
    assert not write_split(file, ['z'], fill_with(tmp_path / 'a.jpg'), False).counts
    assert json.loads(file.read_text()) == content
    write_split(file, ['z'], fill_with(tmp_path / 'a.jpg'), True)
    assert json.loads(file.read_text())['categories'] == [dict(id=1, name='z')]


def test_an_interruption_leaves_no_half_of_a_file(tmp_path, monkeypatch):
    made.image(tmp_path / 'a.jpg')
    file = tmp_path / 'train.json'

    def stopped(coco):
        coco.add_image(tmp_path / 'a.jpg', 'a.jpg')
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_split(file, ['x'], stopped, False)
    assert not file.exists()
    write_atomic(file, b'old')
    with monkeypatch.context() as patch:
        patch.setattr('os.replace', lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write_atomic(file, b'new')
    assert file.read_bytes() == b'old'
    write_atomic(file, b'new')
    assert file.read_bytes() == b'new' and sorted(path.name for path in tmp_path.iterdir()) == ['a.jpg', 'train.json']


def test_a_split_without_images_is_told_and_not_written(tmp_path):
    with pytest.raises(ValueError, match=r'without images \(1 images that are not there'):
        write_split(tmp_path / 'train.json', ['x'], fill_with(tmp_path / 'absent.jpg'), False)
    assert not list(tmp_path.iterdir())
