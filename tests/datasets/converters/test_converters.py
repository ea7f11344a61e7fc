"""Converters from the official layouts to COCO files and label maps."""
import json

import numpy as np
import pytest
import synthetic_datasets as synthetic
from PIL import Image

from mmxattn.datasets.converters import CONVERTERS, cityscapes, exdark, flir, visdrone, voc
from mmxattn.datasets.sources import SOURCES, DatasetNotFoundError

FILES = dict(  # name -> annotation file whose ground truth synthetic_datasets returns, all annotation files
    visdrone=('instances_val', ('instances_train', 'instances_val')),
    exdark=('instances_val', ('instances_train', 'instances_val', 'instances_test')),
    flir=('instances_thermal_val', ('instances_thermal_train', 'instances_thermal_val')),
    voc=('voc07_test', ('voc0712_trainval', 'voc07_test')))


def create_and_convert(name, folder):
    """Create a dataset and convert it in place; return the ground truth and the converted splits."""
    ground_truth = getattr(synthetic, name)(folder)
    return ground_truth, list(CONVERTERS[name](folder, folder))


def counts(splits, name):
    return {split.path.stem: dict(split.counts) for split in splits}[name]


@pytest.mark.parametrize('name', FILES)
def test_coco_file_matches_official_annotations(name, tmp_path):
    ground_truth, splits = create_and_convert(name, tmp_path)
    checked, names = FILES[name]
    assert [split.path for split in splits] == [tmp_path / 'annotations' / f'{key}.json' for key in names]
    content = json.loads((tmp_path / 'annotations' / f'{checked}.json').read_text())
    classes = [category['name'] for category in content['categories']]
    assert [category['id'] for category in content['categories']] == list(range(1, len(classes) + 1))
    assert [image['file_name'] for image in content['images']] == list(ground_truth)
    for image in content['images']:
        found = {(classes[a['category_id'] - 1], tuple(a['bbox']), a['iscrowd'])
                 for a in content['annotations'] if a['image_id'] == image['id']}
        expected = {(label, (left, top, right - left, bottom - top), int(ignored))
                    for name, (left, top, right, bottom), ignored in ground_truth[image['file_name']]
                    for label in ([name] if name else classes)}
        assert found == expected
    assert all(a['area'] == a['bbox'][2] * a['bbox'][3] > 0 for a in content['annotations'])


@pytest.mark.parametrize('name', CONVERTERS)
def test_existing_files_are_kept_unless_overwrite(name, tmp_path):
    _, splits = create_and_convert(name, tmp_path)
    files = [file for split in splits for file in (split.path.rglob('*_labelTrainIds.png') if split.path.is_dir()
                                                   else [split.path])]
    before = {file: file.read_bytes() for file in files}
    files[0].write_bytes(b'modified')
    assert not any(any(split.counts.values()) for split in CONVERTERS[name](tmp_path, tmp_path))
    assert files[0].read_bytes() == b'modified'
    assert list(CONVERTERS[name](tmp_path, tmp_path, overwrite=True)) == splits
    assert {file: file.read_bytes() for file in files} == before


@pytest.mark.parametrize('name', CONVERTERS)
def test_other_target_links_images_and_leaves_source_unchanged(name, tmp_path):
    source, target, in_place = (tmp_path / key for key in ('source', 'target', 'in_place'))
    create_and_convert(name, in_place)
    getattr(synthetic, name)(source)
    splits = list(CONVERTERS[name](source, target))
    links = [path for path in target.iterdir() if path.is_symlink()]
    assert links and all(path.resolve().parent == source.resolve() for path in links)
    assert not (source / 'annotations').exists()
    for split in splits:
        if split.path.suffix == '.json':
            assert split.path.read_bytes() == (in_place / split.path.relative_to(target)).read_bytes()
    assert not any(any(split.counts.values()) for split in CONVERTERS[name](source, target))


@pytest.mark.parametrize('name', CONVERTERS)
def test_target_with_other_data_is_rejected(name, tmp_path):
    getattr(synthetic, name)(tmp_path / 'source')
    getattr(synthetic, name)(tmp_path / 'target')
    with pytest.raises(ValueError, match='Cannot link'):
        list(CONVERTERS[name](tmp_path / 'source', tmp_path / 'target'))


@pytest.mark.parametrize('name, removed', [
    ('visdrone', 'VisDrone2019-DET-val'), ('visdrone', 'VisDrone2019-DET-train/annotations'), ('exdark', 'ExDark'),
    ('exdark', 'ExDark_Annno'), ('exdark', 'imageclasslist.txt'), ('flir', 'images_thermal_train/coco.json'),
    ('flir', 'images_thermal_val/data'), ('voc', 'VOC2012'), ('voc', 'VOC2007/ImageSets/Main/test.txt'),
    ('cityscapes', 'gtFine/val'), ('cityscapes', 'leftImg8bit/train'),
    ('cityscapes', 'gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png')])
def test_missing_files_report_download_and_write_nothing(name, removed, tmp_path):
    source, target = tmp_path / 'source', tmp_path / 'target'
    getattr(synthetic, name)(source)
    (source / removed).rename(tmp_path / 'elsewhere')
    with pytest.raises(DatasetNotFoundError) as error:
        list(CONVERTERS[name](source, target))
    missing = removed if 'labelIds' not in removed else 'gtFine/train/CITY'
    for words in (missing, SOURCES[name].url, SOURCES[name].terms, f'prepare_dataset {name} --source'):
        assert words in str(error.value)
    assert not list(target.glob('annotations/*'))


@pytest.mark.parametrize('name, file, line, message', [
    ('visdrone', 'VisDrone2019-DET-val/annotations/d.txt', '1,2,3', "line 6: expected left,top,width.*got '1,2,3'"),
    ('visdrone', 'VisDrone2019-DET-val/annotations/d.txt', '1,2,3,4,1,12,0,0', 'line 6: .*a category from 0 to 11'),
    ('visdrone', 'VisDrone2019-DET-val/annotations/d.txt', '1,2,x,4,1,1,0,0', "line 6: .*'1,2,x"),
    ('exdark', 'ExDark_Annno/Boat/2015_00450.JPG.txt', 'Boat 1 2 3', "line 6: expected .*Bicycle.*got 'Boat 1 2 3'"),
    ('exdark', 'ExDark_Annno/Boat/2015_00450.JPG.txt', 'Plane 1 2 3 4', "line 6: .*'Plane"),
    ('exdark', 'ExDark_Annno/Boat/2015_00450.JPG.txt', '% bbGt version=2', "the header '% bbGt version=3'"),
    ('exdark', 'imageclasslist.txt', '2015_1.jpg 13 1 1 1', "line 6: expected an image name.*'2015_1.jpg 13 1 1 1'"),
    ('exdark', 'imageclasslist.txt', '2015_1.jpg 0 1 1 1', 'line 6'),
    ('exdark', 'imageclasslist.txt', '2015_1.jpg 1 1 1 4', 'line 6'),
    ('flir', 'images_thermal_val/coco.json', '}', 'must be a COCO file'),
    ('voc', 'VOC2007/Annotations/000001.xml', '<', '000001.xml must be an XML file')])
def test_malformed_file_is_reported_with_its_line(name, file, line, message, tmp_path):
    getattr(synthetic, name)(tmp_path)
    with (tmp_path / file).open('a') as stream:
        stream.write(f'{line}\n')
    with pytest.raises(ValueError, match=message) as error:
        list(CONVERTERS[name](tmp_path, tmp_path))
    assert str(tmp_path / file) in str(error.value)
    assert not (tmp_path / 'annotations' / f'{FILES[name][0]}.json').exists()


@pytest.mark.parametrize('element', ['<object><name>dog</name></object>',
                                     '<object><name>cup</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax>'
                                     '<ymax>5</ymax></bndbox></object>'])
def test_voc_object_without_box_or_with_unknown_class_is_rejected(element, tmp_path):
    synthetic.text(tmp_path / 'a.xml', f'<annotation>{element}</annotation>')
    with pytest.raises(ValueError, match="a.xml, object 1: .*got '(dog|cup)'"):
        list(voc.read_annotations(tmp_path / 'a.xml'))


@pytest.mark.parametrize('content', [
    {},
    dict(images=[], annotations=[dict(image_id=1, category_id=5, bbox=[1] * 4)], categories=[dict(id=1, name='car')]),
    dict(images=[], annotations=[], categories=[dict(id=1, name='cow')]),
])
def test_flir_rejects_files_of_other_datasets(content, tmp_path):
    synthetic.text(tmp_path / 'coco.json', json.dumps(content))
    with pytest.raises(ValueError, match='coco.json must'):
        flir.read_coco(tmp_path / 'coco.json')


def test_visdrone_counts(tmp_path):
    _, splits = create_and_convert('visdrone', tmp_path)
    assert counts(splits, 'instances_train') == {'images': 3, 'objects': 2, 'ignored regions': 2}
    assert counts(splits, 'instances_val') == {
        'images': 2, 'objects': 3, 'ignored regions': 2, 'ignored objects': 1, 'boxes clipped to their image': 1,
        'boxes without area in their image (skipped)': 2}


def test_flir_counts_skipped_classes(tmp_path):
    _, splits = create_and_convert('flir', tmp_path)
    assert counts(splits, 'instances_thermal_val') == {
        'images': 2, 'objects': 4, 'boxes clipped to their image': 1, "objects of class 'deer' (skipped)": 1}


def test_exdark_counts_skipped_images(tmp_path):
    synthetic.exdark(tmp_path)
    (tmp_path / 'ExDark/Table/2015_07000.jpg').write_bytes(b'not an image')
    (tmp_path / 'ExDark/Bicycle/2015_00001.png').rename(tmp_path / 'ExDark/Bicycle/2015_00002.PNG')
    with (tmp_path / 'imageclasslist.txt').open('a') as stream:
        stream.write('2015_00002.png 1 2 1 1\n2015_00003.png 1 2 1 3\n')
    (tmp_path / 'ExDark_Annno/Bicycle/2015_00002.png.txt').write_text('')
    splits = list(exdark.convert(tmp_path, tmp_path))
    assert counts(splits, 'instances_train') == {'images': 1, 'objects': 0, 'missing images (skipped)': 1}
    assert counts(splits, 'instances_test') == {
        'images': 1, 'objects': 1, 'unreadable images (skipped)': 1, 'images without annotation file (skipped)': 1}


def test_visdrone_converts_test_split_if_present(tmp_path):
    synthetic.visdrone(tmp_path)
    (tmp_path / 'VisDrone2019-DET-val').rename(tmp_path / 'VisDrone2019-DET-test-dev')
    synthetic.visdrone(tmp_path)
    splits = list(visdrone.convert(tmp_path, tmp_path))
    assert [split.path.stem for split in splits] == ['instances_train', 'instances_val', 'instances_test']
    assert splits[1].counts == splits[2].counts


def test_voc_source_may_be_the_parent_folder(tmp_path):
    synthetic.voc(tmp_path / 'source' / 'VOCdevkit')
    list(voc.convert(tmp_path / 'source', tmp_path / 'target'))
    assert (tmp_path / 'target' / 'VOC2012').is_symlink()


def test_cityscapes_pixels_get_train_ids(tmp_path):
    labels, splits = create_and_convert('cityscapes', tmp_path)
    assert [dict(split.counts) for split in splits] == [{'label maps': 1}] * 2
    # The official table of 34 label ids, from "unlabeled" to "bicycle".
    table = [255, 255, 255, 255, 255, 255, 255, 0, 1, 255, 255, 2, 3, 4, 255, 255, 255, 5, 255, 6, 7, 8, 9, 10, 11, 12,
             13, 14, 15, 255, 255, 16, 17, 18]
    with Image.open(tmp_path / 'gtFine/val/munster/munster_000000_000019_gtFine_labelTrainIds.png') as image:
        assert image.mode == 'L'
        assert np.array_equal(np.asarray(image), np.array(table, np.uint8)[labels])
    assert len(cityscapes.CLASSES) == 19


@pytest.mark.parametrize('content', [b'not an image', None])
def test_cityscapes_rejects_other_label_maps(content, tmp_path):
    synthetic.cityscapes(tmp_path)
    file = tmp_path / 'gtFine/val/munster/munster_000000_000019_gtFine_labelIds.png'
    if content:
        file.write_bytes(content)
    else:
        Image.fromarray(np.full((32, 64), 34, np.uint8)).save(file)
    with pytest.raises(ValueError, match='munster_000000_000019_gtFine_labelIds.png must be a label map with ids'):
        list(cityscapes.convert(tmp_path, tmp_path))
