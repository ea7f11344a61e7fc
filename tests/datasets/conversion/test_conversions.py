"""Each data set from its makers' layout, file by file."""
import json

import made_datasets as made
import numpy as np
import pytest
from PIL import Image

from mmxattn.datasets.converters import CONVERSIONS, cityscapes, exdark, flir, visdrone, voc
from mmxattn.datasets.sources import SOURCES, MissingData

FILES = dict(  # name -> the annotation file of the split that made_datasets tells of, all annotation files
    visdrone=('instances_val', ('instances_train', 'instances_val')),
    exdark=('instances_val', ('instances_train', 'instances_val', 'instances_test')),
    flir=('instances_thermal_val', ('instances_thermal_train', 'instances_thermal_val')),
    voc=('voc07_test', ('voc0712_trainval', 'voc07_test')))


def make(name, folder):
    """The made data set, and its parts once they are ready; made and prepared in the same folder."""
    truth = getattr(made, name)(folder)
    return truth, list(CONVERSIONS[name](folder, folder))


def counts(parts, split):
    return {part.path.stem: dict(part.counts) for part in parts}[split]


@pytest.mark.parametrize('name', FILES)
def test_the_file_has_what_the_makers_files_say(name, tmp_path):
    truth, parts = make(name, tmp_path)
    split, splits = FILES[name]
    assert [part.path for part in parts] == [tmp_path / 'annotations' / f'{key}.json' for key in splits]
    content = json.loads((tmp_path / 'annotations' / f'{split}.json').read_text())
    classes = [category['name'] for category in content['categories']]
    assert [category['id'] for category in content['categories']] == list(range(1, len(classes) + 1))
    assert [image['file_name'] for image in content['images']] == list(truth)
    for image in content['images']:
        found = {(classes[a['category_id'] - 1], tuple(a['bbox']), a['iscrowd'])
                 for a in content['annotations'] if a['image_id'] == image['id']}
        wanted = {(label, (left, top, right - left, bottom - top), int(ignored))
                  for name, (left, top, right, bottom), ignored in truth[image['file_name']]
                  for label in ([name] if name else classes)}
        assert found == wanted
    assert all(a['area'] == a['bbox'][2] * a['bbox'][3] > 0 for a in content['annotations'])


@pytest.mark.parametrize('name', CONVERSIONS)
def test_a_second_call_keeps_what_is_ready_and_overwrite_makes_it_anew(name, tmp_path):
    _, parts = make(name, tmp_path)
    files = [file for part in parts for file in (part.path.rglob('*_labelTrainIds.png') if part.path.is_dir()
                                                 else [part.path])]
    before = {file: file.read_bytes() for file in files}
    files[0].write_bytes(b'mine')
    assert not any(any(part.counts.values()) for part in CONVERSIONS[name](tmp_path, tmp_path))
    assert files[0].read_bytes() == b'mine'
    assert list(CONVERSIONS[name](tmp_path, tmp_path, overwrite=True)) == parts
    assert {file: file.read_bytes() for file in files} == before


@pytest.mark.parametrize('name', CONVERSIONS)
def test_another_target_gets_links_and_the_makers_files_stay(name, tmp_path):
    source, target, own = (tmp_path / key for key in ('source', 'target', 'own'))
    make(name, own)
    getattr(made, name)(source)
    parts = list(CONVERSIONS[name](source, target))
    links = [path for path in target.iterdir() if path.is_symlink()]
    assert links and all(path.resolve().parent == source.resolve() for path in links)
    assert not (source / 'annotations').exists()
    for part in parts:
        if part.path.suffix == '.json':
            assert part.path.read_bytes() == (own / part.path.relative_to(target)).read_bytes()
    assert not any(any(part.counts.values()) for part in CONVERSIONS[name](source, target))


@pytest.mark.parametrize('name', CONVERSIONS)
def test_something_else_at_the_target_is_told(name, tmp_path):
    getattr(made, name)(tmp_path / 'source')
    getattr(made, name)(tmp_path / 'target')
    with pytest.raises(ValueError, match='cannot be made a link'):
        list(CONVERSIONS[name](tmp_path / 'source', tmp_path / 'target'))


@pytest.mark.parametrize('name, removed', [
    ('visdrone', 'VisDrone2019-DET-val'), ('visdrone', 'VisDrone2019-DET-train/annotations'), ('exdark', 'ExDark'),
    ('exdark', 'ExDark_Annno'), ('exdark', 'imageclasslist.txt'), ('flir', 'images_thermal_train/coco.json'),
    ('flir', 'images_thermal_val/data'), ('voc', 'VOC2012'), ('voc', 'VOC2007/ImageSets/Main/test.txt'),
    ('cityscapes', 'gtFine/val'), ('cityscapes', 'leftImg8bit/train'),
    ('cityscapes', 'gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png')])
def test_a_missing_part_is_told_with_where_to_get_it_and_nothing_is_written(name, removed, tmp_path):
    source, target = tmp_path / 'source', tmp_path / 'target'
    getattr(made, name)(source)
    (source / removed).rename(tmp_path / 'elsewhere')
    with pytest.raises(MissingData) as told:
        list(CONVERSIONS[name](source, target))
    missing = removed if 'labelIds' not in removed else 'gtFine/train/CITY'
    for words in (missing, SOURCES[name].address, SOURCES[name].terms, f'prepare_dataset {name} --source'):
        assert words in str(told.value)
    assert not list(target.glob('annotations/*'))


@pytest.mark.parametrize('name, file, line, told', [
    ('visdrone', 'VisDrone2019-DET-val/annotations/d.txt', '1,2,3', 'line 6: .1,2,3. is not left,top,width'),
    ('visdrone', 'VisDrone2019-DET-val/annotations/d.txt', '1,2,3,4,1,12,0,0', 'line 6: .*a category from 0 to 11'),
    ('visdrone', 'VisDrone2019-DET-val/annotations/d.txt', '1,2,x,4,1,1,0,0', 'line 6: .1,2,x'),
    ('exdark', 'ExDark_Annno/Boat/2015_00450.JPG.txt', 'Boat 1 2 3', 'line 6: .Boat 1 2 3. is not one of Bicycle'),
    ('exdark', 'ExDark_Annno/Boat/2015_00450.JPG.txt', 'Plane 1 2 3 4', 'line 6: .Plane'),
    ('exdark', 'ExDark_Annno/Boat/2015_00450.JPG.txt', '% bbGt version=2', "not the header '% bbGt version=3'"),
    ('exdark', 'imageclasslist.txt', '2015_1.jpg 13 1 1 1', 'line 6: .2015_1.jpg 13 1 1 1. is not an image name'),
    ('exdark', 'imageclasslist.txt', '2015_1.jpg 0 1 1 1', 'line 6'),
    ('exdark', 'imageclasslist.txt', '2015_1.jpg 1 1 1 4', 'line 6'),
    ('flir', 'images_thermal_val/coco.json', '}', 'is not a COCO file'),
    ('voc', 'VOC2007/Annotations/000001.xml', '<', '000001.xml is not XML')])
def test_a_broken_line_is_one_sentence(name, file, line, told, tmp_path):
    getattr(made, name)(tmp_path)
    with (tmp_path / file).open('a') as stream:
        stream.write(f'{line}\n')
    with pytest.raises(ValueError, match=told) as error:
        list(CONVERSIONS[name](tmp_path, tmp_path))
    assert str(tmp_path / file) in str(error.value)
    assert not (tmp_path / 'annotations' / f'{FILES[name][0]}.json').exists()


@pytest.mark.parametrize('wrong', ['<object><name>dog</name></object>',
                                   '<object><name>cup</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax>'
                                   '<ymax>5</ymax></bndbox></object>'])
def test_an_object_of_voc_without_a_box_or_of_another_class_is_told(wrong, tmp_path):
    made.text(tmp_path / 'a.xml', f'<annotation>{wrong}</annotation>')
    with pytest.raises(ValueError, match='a.xml, object 1: .(dog|cup)'):
        list(voc.read(tmp_path / 'a.xml'))


@pytest.mark.parametrize('content', [
    {},
    dict(images=[], annotations=[dict(image_id=1, category_id=5, bbox=[1] * 4)], categories=[dict(id=1, name='car')]),
    dict(images=[], annotations=[], categories=[dict(id=1, name='cow')]),
])
def test_a_list_that_is_not_flirs_is_told(content, tmp_path):
    made.text(tmp_path / 'coco.json', json.dumps(content))
    with pytest.raises(ValueError, match='coco.json'):
        flir.read(tmp_path / 'coco.json')


def test_what_is_left_out_is_counted(tmp_path):
    _, parts = make('visdrone', tmp_path / 'visdrone')
    assert counts(parts, 'instances_train') == {'images': 3, 'objects': 2, 'ignored regions': 2}
    assert counts(parts, 'instances_val') == {
        'images': 2, 'objects': 3, 'ignored regions': 2, 'objects to ignore': 1,
        'boxes cut at the border of their image': 1, 'boxes without area in their image (left out)': 2}
    _, parts = make('flir', tmp_path / 'flir')
    assert counts(parts, 'instances_thermal_val') == {
        'images': 2, 'objects': 4, 'boxes cut at the border of their image': 1, "objects of class 'deer' (left out)": 1}
    made.exdark(tmp_path / 'exdark')
    (tmp_path / 'exdark/ExDark/Table/2015_07000.jpg').write_bytes(b'no image')
    (tmp_path / 'exdark/ExDark/Bicycle/2015_00001.png').rename(tmp_path / 'exdark/ExDark/Bicycle/2015_00002.PNG')
    with (tmp_path / 'exdark/imageclasslist.txt').open('a') as stream:
        stream.write('2015_00002.png 1 2 1 1\n2015_00003.png 1 2 1 3\n')
    (tmp_path / 'exdark/ExDark_Annno/Bicycle/2015_00002.png.txt').write_text('')
    parts = list(exdark.prepare(tmp_path / 'exdark', tmp_path / 'exdark'))
    assert counts(parts, 'instances_train') == {'images': 1, 'objects': 0, 'images that are not there (left out)': 1}
    assert counts(parts, 'instances_test') == {
        'images': 1, 'objects': 1, 'images that cannot be read (left out)': 1,
        'images without an annotation file (left out)': 1}


def test_visdrones_test_images_are_taken_where_they_are(tmp_path):
    made.visdrone(tmp_path)
    (tmp_path / 'VisDrone2019-DET-val').rename(tmp_path / 'VisDrone2019-DET-test-dev')
    made.visdrone(tmp_path)
    parts = list(visdrone.prepare(tmp_path, tmp_path))
    assert [part.path.stem for part in parts] == ['instances_train', 'instances_val', 'instances_test']
    assert parts[1].counts == parts[2].counts


def test_voc_may_lie_one_folder_deeper(tmp_path):
    made.voc(tmp_path / 'source' / 'VOCdevkit')
    list(voc.prepare(tmp_path / 'source', tmp_path / 'target'))
    assert (tmp_path / 'target' / 'VOC2012').is_symlink()


def test_each_pixel_of_cityscapes_gets_its_train_id(tmp_path):
    labels, parts = make('cityscapes', tmp_path)
    assert [dict(part.counts) for part in parts] == [{'label maps': 1}] * 2
    # the makers' table of 34 label ids, from "unlabeled" to "bicycle"
    table = [255, 255, 255, 255, 255, 255, 255, 0, 1, 255, 255, 2, 3, 4, 255, 255, 255, 5, 255, 6, 7, 8, 9, 10, 11, 12,
             13, 14, 15, 255, 255, 16, 17, 18]
    with Image.open(tmp_path / 'gtFine/val/munster/munster_000000_000019_gtFine_labelTrainIds.png') as image:
        assert image.mode == 'L'
        assert np.array_equal(np.asarray(image), np.array(table, np.uint8)[labels])
    assert set(table) - {255} == set(range(19)) and len(cityscapes.CLASSES) == 19


@pytest.mark.parametrize('content', [b'no image', None])
def test_a_label_map_of_something_else_is_told(content, tmp_path):
    made.cityscapes(tmp_path)
    file = tmp_path / 'gtFine/val/munster/munster_000000_000019_gtFine_labelIds.png'
    if content:
        file.write_bytes(content)
    else:
        Image.fromarray(np.full((32, 64), 34, np.uint8)).save(file)
    with pytest.raises(ValueError, match='munster_000000_000019_gtFine_labelIds.png is not a label map of ids from 0'):
        list(cityscapes.prepare(tmp_path, tmp_path))
