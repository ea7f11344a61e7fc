"""Evaluate a checkpoint: `mim test mmxattn CONFIG --checkpoint FILE`, or `python tools/test.py CONFIG FILE`."""
from .options import load_config, option_parser, start_processes  # first: it says which toolbox is missing

# isort: split
from pathlib import Path

from mmengine.evaluator import DumpResults
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from .results import check_folder
from .validation import check_checkpoint, check_launcher, check_parts


def main():
    parser = option_parser('Evaluate a checkpoint with the metrics of its recipe.')
    parser.add_argument('checkpoint', help='a file that training wrote, or an address')
    parser.add_argument('--out', metavar='FILE.pkl', help='write every prediction to this file')
    arguments = parser.parse_args()
    check_launcher(arguments.launcher, arguments.config)
    config = load_config(arguments)
    check_parts(config, 'test')
    if arguments.out and not arguments.out.endswith(('.pkl', '.pickle')):
        raise SystemExit(f'--out {arguments.out} is no .pkl file, and predictions are pickled: give --out '
                         f'{Path(arguments.out).with_suffix(".pkl")}')
    try:
        check_folder(arguments.out and Path(arguments.out))
    except ValueError as error:
        raise SystemExit(str(error)) from error
    check_checkpoint(config, arguments.checkpoint)
    config.load_from = arguments.checkpoint
    config.resume = False
    start_processes(config)
    runner = RUNNERS.build(config) if 'runner_type' in config else Runner.from_cfg(config)
    if arguments.out:
        runner.test_evaluator.metrics.append(DumpResults(out_file_path=arguments.out))
    runner.test()


if __name__ == '__main__':
    main()
