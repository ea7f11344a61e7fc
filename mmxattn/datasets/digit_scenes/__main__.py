"""Command line of the digit scenes: write the dataset and draw a contact sheet."""
import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..extras import import_extra
from .writer import CLASSES, write


def contact_sheet(root: str | Path, split: str = 'train', columns: int = 6, rows: int = 4, zoom: int = 2) -> Any:
    """Draw the first scenes of a split with boxes and classes.

    Args:
        root: Folder of the dataset.
        split: ``'train'`` or ``'test'``.
        columns: Number of columns.
        rows: Number of rows.
        zoom: Scale factor of a scene.

    Returns:
        PIL image.
    """
    pil = import_extra('PIL.Image', 'Pillow', 'The contact sheet')
    drawing = import_extra('PIL.ImageDraw', 'Pillow', 'The contact sheet')
    data = json.loads((Path(root) / f'{split}.json').read_text())
    side = data['images'][0]['width'] * zoom
    sheet = pil.new('RGB', (columns * side, rows * side))
    for index, info in enumerate(data['images'][:columns * rows]):
        image = pil.open(Path(root) / split / 'images' / info['file_name'])
        tile = image.resize((side, side), pil.Resampling.NEAREST)
        draw = drawing.Draw(tile)
        for annotation in data['annotations']:
            if annotation['image_id'] != info['id']:
                continue
            x, y, w, h = (zoom * value for value in annotation['bbox'])
            draw.rectangle((x, y, x + w - 1, y + h - 1), outline='red')
            draw.text((x + 2, y), CLASSES[annotation['category_id'] - 1], fill='red')
        sheet.paste(tile, (index % columns * side, index // columns * side))
    return sheet


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        argv: Command-line arguments. Defaults to ``sys.argv[1:]``.
    """
    parser = argparse.ArgumentParser(
        prog='python -m mmxattn.datasets.digit_scenes',
        description='Write the digit scenes, unless they exist, and print their folder.')
    parser.add_argument('--num-train', type=int, default=1000, metavar='N')
    parser.add_argument('--num-test', type=int, default=200, metavar='N')
    parser.add_argument('--size', type=int, default=160, metavar='PIXELS')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--cache', help='parent folder (default: $MMXATTN_CACHE, else ~/.cache/mmxattn)')
    parser.add_argument('--sheet', metavar='PNG', help='also draw the first scenes with boxes')
    parser.add_argument('--split', choices=['train', 'test'], default='train', help='split of the contact sheet')
    args = parser.parse_args(argv)
    try:
        root = write(args.num_train, args.num_test, args.size, args.seed, args.cache)
        if args.sheet:
            contact_sheet(root, args.split).save(args.sheet)
    except (ImportError, ValueError) as error:
        parser.error(str(error))
    print(root)


if __name__ == '__main__':
    main()
