"""Train a baseline and the same recipe with a module of mmxattn on synthetic digit scenes, and compare them."""
import argparse
from pathlib import Path

from mmengine.config import DictAction

import mmxattn

from .errors import rerun_command, run_cli

RECIPES = {  # part -> baseline, candidate
    'fine': ('faster-rcnn_r18-w32_fpn64_digits', 'faster-rcnn_r18-w32_fine-fpn64_digits'),
    'cfsam': ('faster-rcnn_r18-w32_fpn64_digits', 'faster-rcnn_r18-w32_fpn64-cfsam_digits'),
    'scsa': ('faster-rcnn_r50-w16_fpn64_digits', 'faster-rcnn_r50-w16-scsa_fpn64_digits'),
    'cla': ('segformer_mit-b0_digits-160x160', 'segformer_mit-b0_cla_digits-160x160'),
}
CONFIGS = Path(mmxattn.__path__[0]) / '.mim' / 'configs' / 'demo'

INTRODUCTION = """\
The demo trains two models on digit scenes (handwritten digits on textures, 160x160 pixels) and compares them:
  baseline:  {baseline}
  candidate: {candidate}
It takes three to eight minutes on two CPU cores. After Ctrl-C, run the same command again to resume.
"""


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--part', choices=RECIPES, default='fine', help='module to compare with its baseline')
    parser.add_argument('--work-dir', default='work_dirs/demo', help='folder for checkpoints and reports')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE',
                        help='override values of both configs; for a shorter run: train_cfg.max_epochs=1')
    return parser.parse_args()


def main() -> None:
    """Run the command line tool."""
    args = parse_args()
    baseline, candidate = RECIPES[args.part]
    print(INTRODUCTION.format(baseline=baseline, candidate=candidate), flush=True)
    run_cli(lambda: run(args), f'To resume, run: {rerun_command()}')


def run(args: argparse.Namespace) -> None:
    """Write the dataset, train and compare the models, and print the summary."""
    from ..comparison import CompareOptions, compare, print_tables  # slow to import
    from ..datasets.digit_scenes import write
    from .validation import check_work_dir

    check_work_dir(args.work_dir)
    write()
    configs = [CONFIGS / f'{name}.py' for name in RECIPES[args.part]]
    result = compare(configs, args.work_dir, args.part, CompareOptions(train=True), cfg_options=args.cfg_options)
    print_tables(result)
    print(f'\nFull report: {Path(args.work_dir) / args.part / "report.html"}')


if __name__ == '__main__':
    main()
