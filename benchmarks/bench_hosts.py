"""Time models with and without their part: `mim run mmxattn bench_hosts`, or `python tools/bench_hosts.py`."""
import argparse
import logging
import statistics
import sys
from pathlib import Path

from mmxattn.utils.toolboxes import require

require('This tool', 'mmengine', 'mmcv', 'mmdet', 'mmseg')
import torch  # noqa: E402  (after the sentence that says what is missing)
from rich.console import Console  # noqa: E402
from rich.table import Column, Table  # noqa: E402
from tqdm import tqdm  # noqa: E402

from mmxattn.cli.errors import run_to_the_end  # noqa: E402
from mmxattn.cli.results import check_folder, recorded  # noqa: E402

DESCRIPTION = """\
Time what each part adds to the model around it.

The stock model and the one with the part have the same weights, see the same made images and take turns in one process.
Told is the ratio of their times: its median, where that lies with 95% confidence, and the 10th and 90th percentile of
the turns; of SCSA also the ratio for the literal form of its paper. Let nothing else run on the machine.
"""
EXAMPLES = """\
examples:
  everything, and the numbers as a file (about half an hour on two cores):
    %(prog)s --json hosts.json

  one host, with more turns:
    %(prog)s --only "ResNet-50, 224" --turns 100

  throughput of a GPU that is kept busy:
    %(prog)s --only "32 images" --turns 20 --calls 20
"""


def parse_args():
    parser = argparse.ArgumentParser(prog='mim run mmxattn bench_hosts', description=DESCRIPTION, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', default='', metavar='TEXT', help='hosts that have this in their name')
    parser.add_argument('--turns', type=int, default=40, metavar='N',
                        help='how often each is timed; training half as often (default: %(default)s)')
    parser.add_argument('--budget', type=float, default=120, metavar='SECONDS',
                        help='for one timing; fewer turns on a slow machine, five at least (default: %(default)s)')
    parser.add_argument('--calls', type=int, default=1, metavar='N',
                        help='calls a turn, one after another; told is the time of one (default: %(default)s)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write everything there, after every timing')
    return parser.parse_args()


def main():
    args = parse_args()
    run_to_the_end(lambda: run(args), 'What is above was measured to its end.')


def run(args):
    # here, for it takes seconds to import: --help does not
    from benchmarks.model_benchmark import bench_hosts, select
    from mmxattn.profiling.environment import clock_mhz, environment

    hosts = select(args.only)
    check_folder(args.json)
    logging.disable(logging.INFO)  # mmengine tells every parameter's learning rate
    about, results = dict(environment('mmxattn'), clock_mhz=clock_mhz(), calls=args.calls), []
    bar = tqdm(total=sum(1 + host.training for host in hosts), unit='timing', leave=False)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        timings = bench_hosts(hosts, device, args.turns, args.budget, bar.set_description_str, args.calls)
        for _ in recorded(timings, results, args.json, environment=about):
            bar.update()
    finally:  # stopped or failed, what is measured is measured
        bar.close()
        if results:
            print_results(results, about)


def print_results(results, about):
    """The table, and what it was measured on."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    table = Table(Column('', no_wrap=True), *(Column(head, justify='right', no_wrap=True) for head in (
        'with part /\nstock', '95% of the\nmedian', '10th to 90th\npercentile', 'ms:\nstock', 'GMACs\nratio', 'turns')),
                  show_lines=True)
    for result in results:
        ratio, (lower, upper), literal = result.ratio, result.between, result.literal_ratio
        table.add_row(f'{result.part} in {result.title}\n{"training step" if result.training else "inference"}',
                      f'{ratio.median:.3f}' + (f'\nliteral {literal.median:.3f}' if literal else ''),
                      f'{lower:.3f} to {upper:.3f}', f'{ratio.lower:.3f} to {ratio.upper:.3f}',
                      f'{statistics.median(result.stock) * 1000:.4g}',
                      '' if result.training else f'{result.macs[1] / result.macs[0]:.3f}', str(len(result.stock)))
    console.print(table)
    console.print(', '.join(f'{name} {value}' for name, value in about.items()), soft_wrap=True)


if __name__ == '__main__':
    main()
