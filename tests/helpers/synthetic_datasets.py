"""Small synthetic datasets in the official layouts.

Each function writes a dataset to a folder and returns the ground truth of one split as {file name relative to the image
folder of the recipe: [(class, (left, top, right, bottom), ignored)]}.
"""
import json

import numpy as np
from PIL import Image


def image(path, width=96, height=64, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(seed).randint(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, 'PNG' if path.suffix.lower() == '.png' else 'JPEG')


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def visdrone(root):
    """VisDrone: 3 train and 2 val images, one with only ignored regions and one empty. Extensions differ in case."""
    train, val = root / 'VisDrone2019-DET-train', root / 'VisDrone2019-DET-val'
    for number, name in enumerate(('a.jpg', 'b.JPG', 'c.jpg')):
        image(train / 'images' / name, seed=number)
    text(train / 'annotations' / 'a.txt', '10,5,20,30,1,4,0,1\n50,10,8,8,1,1,0,0,\n60,40,20,20,0,0,0,0\n')
    text(train / 'annotations' / 'b.txt', '')
    text(train / 'annotations' / 'c.txt', '0,0,30,30,0,0,0,0\n')
    image(val / 'images' / 'd.jpg', seed=4)
    image(val / 'images' / 'e.jpg', seed=5)
    text(val / 'annotations' / 'd.txt', '10,5,20,30,1,4,0,1\n40,5,12,12,1,10,0,0\n50,30,40,30,0,0,0,0\n'
                                        '0,40,20,20,1,11,0,0\n70,2,10,10,0,4,0,2\n')
    text(val / 'annotations' / 'e.txt', '90,50,30,30,1,2,1,0\n5,5,0,10,1,4,0,0\n100,5,10,10,1,4,0,0\n')
    return {'d.jpg': [('car', (10, 5, 30, 35), False), ('motor', (40, 5, 52, 17), False),
                      (None, (50, 30, 90, 60), True), (None, (0, 40, 20, 60), True), ('car', (70, 2, 80, 12), True)],
            'e.jpg': [('people', (90, 50, 96, 64), False)]}


def exdark(root):
    """ExDark: one or two images per split. The list, the folders and the extensions differ in case."""
    image(root / 'ExDark' / 'Bicycle' / '2015_00001.png', seed=1)
    image(root / 'ExDark' / 'Boat' / '2015_00450.JPG', seed=2)
    image(root / 'ExDark' / 'People' / '2015_06000.jpeg', seed=3)
    image(root / 'ExDark' / 'Table' / '2015_07000.jpg', seed=4)
    head = '% bbGt version=3\n'
    text(root / 'ExDark_Annno' / 'Bicycle' / '2015_00001.png.txt', f'{head}Bicycle 20 10 30 40 0 0 0 0 0 0 0\n')
    text(root / 'ExDark_Annno' / 'Boat' / '2015_00450.JPG.txt',
         f'{head}Boat 5 5 40 20 0 0 0 0 0 0 0\nPeople 50 30 12.5 20 0 0 0 0 0 0 0\nCar 60 2 20 20 0 0 0 0 0 1 0\n'
         'Cup -4 50 10 10 0 0 0 0 0 0 0\n')
    text(root / 'ExDark_Annno' / 'People' / '2015_06000.jpeg.txt', f'{head}People 10 10 30 30\n')
    text(root / 'ExDark_Annno' / 'Table' / '2015_07000.jpg.txt', '')
    text(root / 'imageclasslist.txt', 'Name | Class | Light | In/Out | Train/Val/Test\n2015_00001.png 1 2 1 1\n'
                                      '2015_00450.jpg 2 3 2 2\n2015_06000.jpeg 11 4 2 3\n2015_07000.jpg 12 4 1 3\n')
    return {'Boat/2015_00450.JPG': [('Boat', (5, 5, 45, 25), False), ('People', (50, 30, 62.5, 50), False),
                                    ('Car', (60, 2, 80, 22), True), ('Cup', (0, 50, 6, 60), False)]}


def flir(root):
    """FLIR: two single-channel images per split. Category ids have gaps, two categories are not in the recipes."""
    names = {1: 'person', 2: 'bike', 3: 'car', 9: 'boat', 10: 'light', 18: 'deer', 79: 'other vehicle'}
    for split in ('train', 'val'):
        folder = root / f'images_thermal_{split}'
        files = [f'data/video-{split}-frame-00000{k}.jpg' for k in (0, 1)]
        for number, name in enumerate(files):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.RandomState(number).randint(0, 256, (64, 80), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        boxes = [(0, 1, [5, 5, 20, 40]), (0, 79, [30, 10, 25, 20]), (1, 10, [60, 2, 6, 12]), (1, 18, [10, 30, 20, 20]),
                 (1, 3, [70, 30, 20, 20])]
        text(folder / 'coco.json', json.dumps(dict(
            images=[dict(id=k, file_name=name, width=80, height=64, extra_info={}) for k, name in enumerate(files)],
            annotations=[dict(id=k, image_id=i, category_id=c, bbox=box, area=box[2] * box[3], segmentation=[])
                         for k, (i, c, box) in enumerate(boxes)],
            categories=[dict(id=k, name=name) for k, name in names.items()])))
    return {'data/video-val-frame-000000.jpg': [('person', (5, 5, 25, 45), False),
                                                ('other vehicle', (30, 10, 55, 30), False)],
            'data/video-val-frame-000001.jpg': [('light', (60, 2, 66, 14), False), ('car', (70, 30, 80, 50), False)]}


def voc(root):
    """VOC: one training image per year and two test images, one of them with a difficult object."""

    def xml(*objects):
        return '<annotation><size><width>96</width><height>64</height></size>' + ''.join(
            f'<object><name>{name}</name><difficult>{difficult}</difficult><part><name>head</name><bndbox><xmin>1</xmin>'
            f'<ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part><bndbox><xmax>{box[2]}</xmax><xmin>{box[0]}</xmin>'
            f'<ymax>{box[3]}</ymax><ymin>{box[1]}</ymin></bndbox></object>' for name, difficult, box in objects
        ) + '</annotation>'

    content = {
        ('VOC2007', 'trainval', '000005'): xml(('dog', 0, (11, 6, 60, 50)), ('person', 1, (2, 3, 40, 40))),
        ('VOC2007', 'test', '000001'): xml(('dog', 0, (11, 6, 60, 50)), ('train', 1, (61, 2, 96, 60)),
                                           ('person', 0, ('1.2', 1, 10, 64))),
        ('VOC2007', 'test', '000002'): xml(('tvmonitor', 0, (20, 20, 50, 40))),
        ('VOC2012', 'trainval', '2008_000008'): xml(('horse', 0, (3, 4, 90, 61))),
    }
    for seed, ((year, split, name), annotation) in enumerate(content.items()):
        image(root / year / 'JPEGImages' / f'{name}.jpg', seed=seed)
        text(root / year / 'Annotations' / f'{name}.xml', annotation)
        names = [key[2] for key in content if key[:2] == (year, split)]
        text(root / year / 'ImageSets' / 'Main' / f'{split}.txt', '\n'.join(names) + '\n')
    return {'VOC2007/JPEGImages/000001.jpg': [('dog', (10, 5, 59, 49), False), ('train', (60, 1, 95, 59), True),
                                              ('person', (0, 0, 9, 63), False)],
            'VOC2007/JPEGImages/000002.jpg': [('tvmonitor', (19, 19, 49, 39), False)]}


def cityscapes(root):
    """Cityscapes: one image per split whose label map contains all 34 ids; return the label map."""
    labels = np.arange(64, dtype=np.uint8).repeat(32).reshape(32, 64) % 34
    for split, city in (('train', 'aachen'), ('val', 'munster')):
        name = f'{city}_000000_000019'
        image(root / 'leftImg8bit' / split / city / f'{name}_leftImg8bit.png', 64, 32)
        path = root / 'gtFine' / split / city / f'{name}_gtFine_labelIds.png'
        path.parent.mkdir(parents=True)
        Image.fromarray(labels).save(path)
    return labels
