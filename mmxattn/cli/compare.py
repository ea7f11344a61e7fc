"""Compare recipes: `mim run mmxattn compare BASELINE.py CANDIDATE.py`, or `python tools/compare.py ...`."""
import argparse
import sys
from pathlib import Path

from ..utils.toolboxes import require

require('This tool', 'mmengine', 'mmcv')
from mmengine.config import DictAction  # noqa: E402

from .errors import rerun_command, run_cli  # noqa: E402  (after the check for missing toolboxes)

DESCRIPTION = """\
Compare two or more recipes: config diff, complexity, speed, accuracy and visualization.

The first recipe is the baseline, the others are the candidates. The result is a report that opens in any browser,
WORK_DIR/report.html, with report.md for a pull request and report.json for programs. Run the same command again to
resume an interrupted comparison.
"""
EXAMPLES = """\
examples:
  config diff, complexity, speed and receptive fields, without data or weights:
    %(prog)s faster-rcnn_r50_fpn_1x_coco.py faster-rcnn_r50_fine-fpn_1x_coco.py --shape 800 1333

  also accuracy, with checkpoints in the order of the recipes:
    %(prog)s BASELINE.py CANDIDATE.py --checkpoints baseline.pth candidate.pth

  train each recipe with three seeds first:
    %(prog)s BASELINE.py CANDIDATE.py --train --seeds 0 1 2
"""


def parse_args() -> argparse.Namespace:
    """Parse the command line; without configs, print the help and exit."""
    parser = argparse.ArgumentParser(
        prog='mim run mmxattn compare', description=DESCRIPTION, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='*', metavar='CONFIG', help='two or more config files, the baseline first')
    parser.add_argument('--work-dir', default='work_dirs/compare',
                        help='folder for the report, training runs and evaluations (default: %(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE',
                        help='override values of every config, such as train_cfg.max_epochs=1')
    parser.add_argument('--shape', nargs=2, type=int, metavar=('HEIGHT', 'WIDTH'),
                        help='image size in pixels for complexity and speed, with synthetic images (default: the input '
                        "size and the images of the baseline's test set)")
    speed = parser.add_argument_group('Speed')
    speed.add_argument('--modes', nargs='*', default=['fp32'], metavar='MODE',
                       help='fp32, amp, compile (default: fp32); without a value, skip timing')
    speed.add_argument('--batch-sizes', nargs='+', type=int, default=[1], metavar='N',
                       help='batch sizes for throughput (default: 1)')
    speed.add_argument('--turns', type=int, default=40, metavar='N',
                       help='number of timed inference runs; training steps are timed a quarter as often (default: '
                       '%(default)s)')
    speed.add_argument('--budget', type=float, default=45, metavar='SECONDS',
                       help='time limit for one timing (default: %(default)s)')
    accuracy = parser.add_argument_group('Accuracy (requires --checkpoints or --train)')
    accuracy.add_argument('--checkpoints', nargs='+', metavar='PTH', help='trained weights, one file per config')
    accuracy.add_argument('--train', action='store_true', help='train each config; finished runs are reused')
    accuracy.add_argument('--seeds', nargs='+', type=int, default=[0], metavar='N',
                          help='train each config with each seed (default: 0; a single seed is inconclusive)')
    accuracy.add_argument('--resamples', type=int, default=1000, metavar='N',
                          help='number of bootstrap resamples of the images (default: %(default)s)')
    visualization = parser.add_argument_group('Visualization')
    visualization.add_argument('--no-visualization', action='store_true', help='skip the visualization')
    visualization.add_argument('--no-looks', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.configs:  # mim does not pass --help on to tools of third-party packages
        parser.print_help()
        sys.exit()
    if args.no_looks:
        print('--no-looks is deprecated: use --no-visualization.', file=sys.stderr)
        args.no_visualization = True
    return args


def main() -> None:
    """Run the command line tool."""
    args = parse_args()
    run_cli(lambda: run(args), f'To resume, run: {rerun_command()}')


def run(args: argparse.Namespace) -> None:
    """Compare the recipes and print the summary."""
    from ..comparison import CompareOptions, compare, print_tables  # slow to import
    from .validation import check_work_dir

    check_work_dir(args.work_dir)
    options = CompareOptions(
        checkpoints=tuple(args.checkpoints or ()),
        train=args.train,
        seeds=tuple(args.seeds),
        modes=tuple(args.modes),
        batch_sizes=tuple(args.batch_sizes),
        turns=args.turns,
        budget=args.budget,
        resamples=args.resamples,
        visualization=not args.no_visualization)
    result = compare(args.configs, args.work_dir, options=options, shape=args.shape, cfg_options=args.cfg_options)
    print_tables(result)
    print(f'\nFull report: {Path(args.work_dir) / "report.html"}')


if __name__ == '__main__':
    main()
