"""COCO annotation files."""
import json

import pytest
import synthetic_datasets as synthetic
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmxattn.datasets.converters.coco import Annotation, CocoBuilder, write_split

IMAGE = dict(id=1, width=40, height=30)
numbers = st.one_of(st.integers(-60, 60), st.floats(-60, 60, allow_nan=False))


@given(st.tuples(numbers, numbers, numbers, numbers))
def test_box_is_clipped_to_its_image_or_skipped(box):
    coco = CocoBuilder(['a'])
    clipped = coco.clip(IMAGE, box)
    columns, rows = ((max(start, 0), min(start + length, end))
                     for start, length, end in zip(box[:2], box[2:], (40, 30)))
    if clipped is None:
        assert columns[1] - columns[0] < 1 or rows[1] - rows[0] < 1
        assert sum(coco.counts.values()) == 1
        return
    left, top, width, height = clipped
    assert (left, top) == (columns[0], rows[0])
    assert left + width == pytest.approx(columns[1]) and top + height == pytest.approx(rows[1])
    assert width >= 1 and height >= 1
    assert CocoBuilder(['a']).clip(IMAGE, clipped) == pytest.approx(clipped)


def test_ignored_region_becomes_a_crowd_of_every_class():
    coco = CocoBuilder(['a', 'b', 'c'])
    coco.add_annotation(IMAGE, Annotation(None, (0, 0, 10, 10), True))
    coco.add_annotation(IMAGE, Annotation('b', (5, 5, 4, 4)))
    assert [(a['category_id'], a['iscrowd']) for a in coco.annotations] == [(1, 1), (2, 1), (3, 1), (2, 0)]
    assert [a['id'] for a in coco.annotations] == [1, 2, 3, 4]
    assert coco.counts['ignored regions'] == coco.counts['objects'] == 1


def test_image_size_ignores_exif_and_bad_images_are_counted(tmp_path):
    synthetic.image(tmp_path / 'a.jpg', 20, 10)
    rotated = Image.Exif()
    rotated[0x0112] = 6  # viewers rotate by 90 degrees
    with Image.open(tmp_path / 'a.jpg') as image:
        image.save(tmp_path / 'rotated.jpg', exif=rotated)
    (tmp_path / 'broken.jpg').write_bytes(b'not an image')
    coco = CocoBuilder(['a'])
    for name in ('a.jpg', 'rotated.jpg'):
        info = coco.add_image(tmp_path / name, name)
        assert (info['width'], info['height']) == (20, 10)
    for name in ('broken.jpg', 'absent.jpg'):
        assert coco.add_image(tmp_path / name, name) is None
    assert coco.add_image(None, 'unknown.jpg') is None
    assert dict(coco.counts) == {'images': 2, 'objects': 0, 'unreadable images (skipped)': 1,
                                 'missing images (skipped)': 2}


def fill_with(path):
    return lambda coco: coco.add_image(path, path.name)


def test_split_is_written_once_unless_overwrite(tmp_path):
    synthetic.image(tmp_path / 'a.jpg')
    file = tmp_path / 'annotations' / 'train.json'
    assert write_split(file, ['x', 'y'], fill_with(tmp_path / 'a.jpg'), False).counts['images'] == 1
    content = json.loads(file.read_text())
    assert content['categories'] == [dict(id=1, name='x'), dict(id=2, name='y')]
    assert not write_split(file, ['z'], fill_with(tmp_path / 'a.jpg'), False).counts
    assert json.loads(file.read_text()) == content
    write_split(file, ['z'], fill_with(tmp_path / 'a.jpg'), True)
    assert json.loads(file.read_text())['categories'] == [dict(id=1, name='z')]


def test_interrupted_split_is_not_written(tmp_path):

    def interrupted(coco):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_split(tmp_path / 'train.json', ['x'], interrupted, False)
    assert not list(tmp_path.iterdir())


def test_split_without_images_is_rejected(tmp_path):
    with pytest.raises(ValueError, match=r'would contain no images \(1 missing images'):
        write_split(tmp_path / 'train.json', ['x'], fill_with(tmp_path / 'absent.jpg'), False)
    assert not list(tmp_path.iterdir())
