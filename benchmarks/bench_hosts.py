"""Benchmark the overhead of attention modules. Run ``python -m benchmarks.bench_hosts`` from a checkout."""

import argparse
import logging
import statistics
import sys
from pathlib import Path

from mmxattn.cli.errors import run_cli
from mmxattn.cli.results import check_output_folder, save_results
from mmxattn.utils.toolboxes import require

DESCRIPTION = """\
Benchmark the overhead that each attention module adds to a stock model.

The stock model and the one with the module share their weights, process the same synthetic images and are timed in
turns. The table has the ratio of their times: its median, the 95% confidence interval of the median, and the 10th and
90th percentiles. For SCSA, it also has the ratio with the reference form, the paper's equations in plain PyTorch.
Do not run anything else on the machine.
"""
EXAMPLES = """\
examples:
  everything, with a JSON file (about half an hour on two cores):
    %(prog)s --json models.json

  one model with more turns:
    %(prog)s --only "ResNet-50, 224" --turns 100

  throughput of a GPU without idle time between calls:
    %(prog)s --only "32 images" --turns 20 --calls 20
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='python -m benchmarks.bench_hosts', description=DESCRIPTION, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', default='', metavar='TEXT', help='only models with this text in their name')
    parser.add_argument('--turns', type=int, default=40, metavar='N',
                        help='timings per model, half as many for training (default: %(default)s)')
    parser.add_argument('--budget', type=float, default=120, metavar='SECONDS',
                        help='stop a timing early after this time, but not before 5 turns (default: %(default)s)')
    parser.add_argument('--calls', type=int, default=1, metavar='N',
                        help='consecutive calls per turn; the time of one is reported (default: %(default)s)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='save all results after each timing')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    run_cli(lambda: run(args), 'The results above are complete.')


def run(args: argparse.Namespace) -> None:
    check_output_folder(args.json)
    require('The model benchmark', 'mmengine', 'mmcv', 'mmdet', 'mmseg')
    import torch  # slow to import

    from benchmarks.model_benchmark import bench_models, select
    from benchmarks.tables import metadata
    cases, results = select(args.only), []
    logging.disable(logging.INFO)  # mmengine logs the learning rate of each parameter
    about = dict(metadata(), calls=args.calls)
    timings = bench_models(cases, 'cuda' if torch.cuda.is_available() else 'cpu', args.turns, args.budget, args.calls,
                           log=lambda line: print(line, file=sys.stderr))
    try:
        for _ in save_results(timings, results, args.json, environment=about):
            pass
    finally:  # print the results so far after an error or Ctrl-C
        if results:
            print_results(results)
            print(', '.join(f'{name} {value}' for name, value in about.items()))


def print_results(results: list) -> None:
    from benchmarks.tables import print_table
    rows = []
    for result in results:
        ratio, (lower, upper), reference = result.ratio, result.interval, result.reference_ratio
        rows.append([
            f'{result.module} in {result.title}\n{"training step" if result.training else "inference"}',
            f'{ratio.median:.3f}' + (f'\nreference {reference.median:.3f}' if reference else ''),
            f'{lower:.3f} to {upper:.3f}', f'{ratio.lower:.3f} to {ratio.upper:.3f}',
            f'{statistics.median(result.stock) * 1000:.4g}',
            '' if result.training else f'{result.macs[1] / result.macs[0]:.3f}', str(len(result.stock))])
    print_table(['with module /\nstock', '95% interval\nof the median', '10th to 90th\npercentile', 'ms:\nstock',
                 'MAC\nratio', 'turns'], rows)


if __name__ == '__main__':
    main()
