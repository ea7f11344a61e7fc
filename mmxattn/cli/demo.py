#!/usr/bin/env python
"""Train a stock recipe and the same one with a part of mmxattn on the embedded digit scenes, and compare the two."""

import argparse
from pathlib import Path

from mmengine.config import DictAction

import mmxattn

from .errors import run_to_the_end, same_command

RECIPES = {  # part -> stock recipe, the same with the part
    'fine': ('faster-rcnn_r18-w32_fpn64_digits', 'faster-rcnn_r18-w32_fine-fpn64_digits'),
    'cfsam': ('faster-rcnn_r18-w32_fpn64_digits', 'faster-rcnn_r18-w32_fpn64-cfsam_digits'),
    'scsa': ('faster-rcnn_r50-w16_fpn64_digits', 'faster-rcnn_r50-w16-scsa_fpn64_digits'),
    'cla': ('segformer_mit-b0_digits-160x160', 'segformer_mit-b0_cla_digits-160x160'),
}
CONFIGS = Path(mmxattn.__path__[0]) / '.mim' / 'configs' / 'demo'

PLAN = """\
This trains two models on digit scenes (real handwritten digits on textures, 160x160 pixels) and compares them:
  1. {stock}
  2. {part}
It takes three to eight minutes on two CPU cores. Ctrl-C stops it; the same command again goes on from there.
"""


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--part', choices=RECIPES, default='fine', help='the part to compare with its stock recipe')
    parser.add_argument('--work-dir', default='work_dirs/demo', help='where checkpoints and results go')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE',
                        help='change both recipes, for a shorter run: train_cfg.max_epochs=1')
    return parser.parse_args()


def main():
    args = parse_args()
    stock, part = RECIPES[args.part]
    print(PLAN.format(stock=stock, part=part), flush=True)
    configs = [CONFIGS / f'{name}.py' for name in (stock, part)]
    run_to_the_end(lambda: run(args, configs), f'To go on from here: {same_command()}')


def run(args, configs):
    from mmxattn.comparison import Plan, compare, print_tables  # here: they take seconds to import
    from mmxattn.datasets.digit_scenes import write

    from .validation import check_work_dir

    check_work_dir(args.work_dir)
    write()
    result = compare(configs, args.work_dir, args.part, Plan(train=True), options=args.cfg_options)
    print_tables(result)
    print(f'\nThe whole report, with plots and pictures: {Path(args.work_dir) / args.part / "report.html"}')


if __name__ == '__main__':
    main()
