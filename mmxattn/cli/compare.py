"""Compare recipes: `mim run mmxattn compare STOCK.py OURS.py`, or `python tools/compare.py STOCK.py OURS.py`."""
import argparse
import sys
from pathlib import Path

from mmxattn.utils.toolboxes import require

require('This tool', 'mmengine', 'mmcv')
from mmengine.config import DictAction  # noqa: E402

from .errors import run_to_the_end, same_command  # noqa: E402  (after the sentence that says what is missing)

DESCRIPTION = """\
Put two or more recipes side by side: what differs, what it costs, how fast it is, how good, and what it looks at.

The first recipe is the one that the others are set against. The result is a report that opens in any browser:
WORK_DIR/report.html, with report.md for a pull request and report.json for programs.
"""
EXAMPLES = """\
examples:
  costs, speed and receptive fields; no data, no weights:
    %(prog)s faster-rcnn_r50_fpn_1x_coco.py faster-rcnn_r50_fine-fpn_1x_coco.py --shape 800 1333

  accuracy too, from checkpoints, in the recipes' order:
    %(prog)s STOCK.py OURS.py --checkpoints stock.pth ours.pth

  train both with three seeds first; run it again to go on after an interruption:
    %(prog)s STOCK.py OURS.py --train --seeds 0 1 2
"""


def parse_args():
    parser = argparse.ArgumentParser(
        prog='mim run mmxattn compare', description=DESCRIPTION, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='*', metavar='CONFIG', help='two or more config files, the stock one first')
    parser.add_argument('--work-dir', default='work_dirs/compare',
                        help='where the report, trainings and evaluations go (default: %(default)s)')
    weights = parser.add_argument_group('how good (without one of these, nothing is evaluated)')
    weights.add_argument('--checkpoints', nargs='+', metavar='PTH', help='trained weights, one a config')
    weights.add_argument('--train', action='store_true', help='train each config; what is trained already is kept')
    weights.add_argument('--seeds', nargs='+', type=int, default=[0], metavar='N',
                         help='train each config with each of these (default: 0; one seed decides nothing)')
    weights.add_argument('--resamples', type=int, default=1000, metavar='N',
                         help='of the bootstrap over images (default: %(default)s)')
    speed = parser.add_argument_group('how fast')
    speed.add_argument('--modes', nargs='*', default=['fp32'], metavar='MODE',
                       help='fp32, amp, compile (default: fp32); none after the option: no timing')
    speed.add_argument('--batch-sizes', nargs='+', type=int, default=[1], metavar='N',
                       help='images at a time, for throughput (default: 1)')
    speed.add_argument('--turns', type=int, default=40, metavar='N',
                       help='how often inference is timed, a training step a quarter as often (default: %(default)s)')
    speed.add_argument('--budget', type=float, default=45, metavar='SECONDS',
                       help='for one timing; fewer turns on a slow machine (default: %(default)s)')
    parser.add_argument('--shape', nargs=2, type=int, metavar=('HEIGHT', 'WIDTH'),
                        help='pixels to count and time at, on made images (default: the recipe\'s own size and data)')
    parser.add_argument('--no-looks', action='store_true', help='make no pictures of what the models look at')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE',
                        help='entries to replace in every config: train_cfg.max_epochs=1')
    args = parser.parse_args()
    if not args.configs:  # mim keeps --help from the tools of packages that are not OpenMMLab's
        parser.print_help()
        sys.exit()
    return args


def main():
    args = parse_args()
    run_to_the_end(lambda: run(args), f'To go on from here: {same_command()}')


def run(args):
    from mmxattn.comparison import Plan, compare, print_tables  # here, for they take seconds to import: --help does not

    from .validation import check_work_dir
    check_work_dir(args.work_dir)
    plan = Plan(checkpoints=tuple(args.checkpoints or ()), train=args.train, seeds=tuple(args.seeds),
                modes=tuple(args.modes), batch_sizes=tuple(args.batch_sizes), turns=args.turns, budget=args.budget,
                resamples=args.resamples, looks=not args.no_looks)
    print_tables(compare(args.configs, args.work_dir, plan=plan, shape=args.shape, options=args.cfg_options))
    print(f'\nThe whole report: {Path(args.work_dir) / "report.html"}')


if __name__ == '__main__':
    main()
