"""Digit scenes, the embedded dataset: write it, find it, look at it.

Handwritten digits (scikit-learn's, 8x8) from 8 to 128 pixels on textures, with
overlap and distractors; train and test share no source image. Recipes make it
by themselves; by hand::

    python -m mmxattn.datasets.digit_scenes --sheet sheet.png

Needs NumPy and scikit-learn, Pillow for the sheet, and nothing of OpenMMLab.
"""
import argparse
import json
from pathlib import Path

from .writer import CLASSES, data_root, write

__all__ = ['CLASSES', 'contact_sheet', 'data_root', 'write']


def contact_sheet(root, split='train', columns=6, rows=4, zoom=2):
    """The first scenes side by side, boxes and classes drawn.

    Args:
        root (str): Folder of a written dataset.
        split (str): 'train' or 'test'.
        columns (int): Scenes in a row.
        rows (int): Rows.
        zoom (int): Pixels of the sheet for a pixel of a scene.

    Returns:
        PIL.Image.Image: The sheet.
    """
    from PIL import Image, ImageDraw
    data = json.loads((Path(root) / f'{split}.json').read_text())
    side = data['images'][0]['width'] * zoom
    sheet = Image.new('RGB', (columns * side, rows * side))
    for index, info in enumerate(data['images'][:columns * rows]):
        image = Image.open(Path(root) / split / 'images' / info['file_name'])
        tile = image.resize((side, side), Image.Resampling.NEAREST)
        pen = ImageDraw.Draw(tile)
        for ann in data['annotations']:
            if ann['image_id'] != info['id']:
                continue
            x, y, w, h = (zoom * value for value in ann['bbox'])
            pen.rectangle((x, y, x + w - 1, y + h - 1), outline='red')
            pen.text((x + 2, y), CLASSES[ann['category_id'] - 1], fill='red')
        sheet.paste(tile, (index % columns * side, index // columns * side))
    return sheet


def main(argv=None):
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(
        prog='python -m mmxattn.datasets.digit_scenes',
        description='Write the digit scenes unless they are there, and print '
        'their folder.')
    parser.add_argument('--num-train', type=int, default=1000, metavar='N')
    parser.add_argument('--num-test', type=int, default=200, metavar='N')
    parser.add_argument('--size', type=int, default=160, metavar='PIXELS')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--cache', help='folder to write below (default: $MMXATTN_CACHE, else '
        '~/.cache/mmxattn)')
    parser.add_argument(
        '--sheet', metavar='PNG', help='also draw the first scenes with boxes')
    parser.add_argument('--split', choices=['train', 'test'], default='train',
                        help='scenes of the sheet')
    args = parser.parse_args(argv)
    try:
        root = write(args.num_train, args.num_test, args.size, args.seed,
                     args.cache)
    except ValueError as error:
        parser.error(str(error))
    if args.sheet:
        contact_sheet(root, args.split).save(args.sheet)
    print(root)


if __name__ == '__main__':
    main()
