"""Make a data set ready for the recipes: `mim run mmxattn prepare_dataset`, or `python tools/prepare_dataset.py`."""
import argparse
import sys
from pathlib import Path

from mmxattn.utils.toolboxes import require

require('This tool', 'mmengine', 'mmcv')
from mmxattn.datasets.converters import CONVERSIONS  # noqa: E402
from mmxattn.datasets.sources import SOURCES  # noqa: E402

from .errors import run_to_the_end, same_command  # noqa: E402  (after the sentence that says what is missing)

DESCRIPTION = """\
Turn a data set, as its makers hand it out, into what the recipes read.

Images stay where they are and are linked to; the makers' annotations are left as they are, and new files are written
beside them. What is ready already is kept, so that an interrupted call is just repeated.
"""
EXAMPLES = """\
examples:
  unpacked somewhere, for recipes that are run in this folder:
    %(prog)s visdrone --source /datasets/visdrone

  unpacked to where the recipes look for it:
    %(prog)s cityscapes
"""


def parse_args():
    parser = argparse.ArgumentParser(
        prog='mim run mmxattn prepare_dataset', description=DESCRIPTION,
        epilog=EXAMPLES + '\ndata sets, their folders and where to get them:\n' + ''.join(
            f'  {source.name:<12}{source.folder}\n{"":<14}{source.address}\n{"":<14}{source.terms}\n'
            for source in SOURCES.values()),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dataset', nargs='?', choices=SOURCES, metavar='DATASET', help=', '.join(SOURCES))
    parser.add_argument('--source', type=Path, metavar='FOLDER',
                        help='the folder that the archives were unpacked in (default: the target)')
    parser.add_argument('--target', type=Path, metavar='FOLDER',
                        help='the data_root of the recipes (default: theirs, as listed below)')
    parser.add_argument('--overwrite', action='store_true', help='make anew what is ready already')
    args = parser.parse_args()
    if not args.dataset:  # mim keeps --help from the tools of packages that are not OpenMMLab's
        parser.print_help()
        sys.exit()
    return args


def main():
    args = parse_args()
    run_to_the_end(lambda: run(args), f'To go on from here: {same_command()}')


def run(args):
    target = args.target or Path(SOURCES[args.dataset].folder)
    source = args.source or target
    SOURCES[args.dataset].check(source)
    for part in CONVERSIONS[args.dataset](source, target, args.overwrite):
        print(f'{part.path}: {told(part.counts)}')


def told(counts):
    """What a part holds, in words."""
    if not any(counts.values()):
        return 'ready already'
    return ', '.join(f'{count:,} {what}' for what, count in counts.items() if count)


if __name__ == '__main__':
    main()
