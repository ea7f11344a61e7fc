"""Convert a dataset: `mim run mmxattn prepare_dataset DATASET` or `python tools/prepare_dataset.py DATASET`."""
import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from ..utils.toolboxes import require

require('prepare_dataset', 'mmengine', 'mmcv')
from ..datasets.converters import CONVERTERS  # noqa: E402
from ..datasets.sources import SOURCES  # noqa: E402
from .errors import rerun_command, run_cli  # noqa: E402

__all__ = ['main']

DESCRIPTION = """\
Convert a dataset from its official layout to the layout that the configs read.

Images are linked, not copied. The official annotations are not changed; new files are written next to them. Splits that
have been converted are skipped, so an interrupted conversion can be repeated.
"""
EXAMPLES = """\
examples:
  unpacked in another folder:
    %(prog)s visdrone --source /datasets/visdrone

  unpacked in the folder that the configs read:
    %(prog)s cityscapes
"""


def parse_args() -> argparse.Namespace:
    datasets = ''.join(f'  {source.name:<12}{source.folder}\n{"":<14}{source.url}\n{"":<14}{source.terms}\n'
                       for source in SOURCES.values())
    parser = argparse.ArgumentParser(
        prog='mim run mmxattn prepare_dataset', description=DESCRIPTION,
        epilog=f'{EXAMPLES}\ndatasets, their folders and download pages:\n{datasets}',
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dataset', nargs='?', choices=SOURCES, metavar='DATASET', help=', '.join(SOURCES))
    parser.add_argument('--source', type=Path, metavar='FOLDER',
                        help='folder of the unpacked archives (default: the target folder)')
    parser.add_argument('--target', type=Path, metavar='FOLDER',
                        help='data_root of the configs (default: see the list below)')
    parser.add_argument('--overwrite', action='store_true', help='convert again')
    args = parser.parse_args()
    if not args.dataset:  # `mim run` does not pass --help on
        parser.print_help()
        sys.exit()
    return args


def main() -> None:
    args = parse_args()
    run_cli(lambda: run(args), f'To continue, run: {rerun_command()}')


def run(args: argparse.Namespace) -> None:
    """Convert the dataset and print the counts of each split."""
    target = args.target or Path(SOURCES[args.dataset].folder)
    source = args.source or target
    SOURCES[args.dataset].check(source)
    for split in CONVERTERS[args.dataset](source, target, args.overwrite):
        print(f'{split.path}: {format_counts(split.counts)}')


def format_counts(counts: Mapping[str, int]) -> str:
    """Format the counts of a split. A split without counts already existed."""
    if not any(counts.values()):
        return 'exists'
    return ', '.join(f'{count:,} {name}' for name, count in counts.items() if count)


if __name__ == '__main__':
    main()
