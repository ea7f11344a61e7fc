"""Evaluate a checkpoint: `mim test mmxattn CONFIG --checkpoint FILE` or `python tools/test.py CONFIG FILE`."""
# First import, since it reports missing toolboxes.
from .options import base_parser, config_from_args, init_cpu_process_group

# isort: split
import argparse
from pathlib import Path

from mmengine.config import Config
from mmengine.evaluator import DumpResults
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from .errors import exit_on_error
from .results import check_output_folder
from .validation import check_checkpoint, check_launcher, check_sections

__all__ = ['main']


def parse_args() -> argparse.Namespace:
    parser = base_parser('Evaluate a checkpoint with the metrics of its config.')
    parser.add_argument('checkpoint', help='checkpoint file or URL')
    parser.add_argument('--out', metavar='FILE.pkl', help='save all predictions to this file')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with exit_on_error():
        cfg = prepare(args)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    if args.out:
        runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
    runner.test()


def prepare(args: argparse.Namespace) -> Config:
    """Build the config to test from the arguments.

    Args:
        args: Parsed arguments.

    Raises:
        ValueError: If the arguments are invalid.
    """
    check_launcher(args.launcher, args.config)
    cfg = config_from_args(args)
    check_sections(cfg, 'test')
    if args.out:
        if not args.out.endswith(('.pkl', '.pickle')):
            raise ValueError(f'--out must be a .pkl file, got {args.out}.')
        check_output_folder(Path(args.out))
    check_checkpoint(cfg, args.checkpoint)
    cfg.load_from, cfg.resume = args.checkpoint, False
    init_cpu_process_group(cfg)
    return cfg


if __name__ == '__main__':
    main()
