"""Time layers and their papers as printed: `mim run mmxattn bench_layers`, or `python tools/bench_layers.py`."""
import argparse
import statistics
import sys
from dataclasses import asdict
from pathlib import Path

from mmxattn.utils.toolboxes import require

require('This tool', 'mmengine', 'mmcv')
import torch  # noqa: E402  (after the sentence that says what is missing)
from rich.console import Console  # noqa: E402
from rich.table import Column, Table  # noqa: E402
from tqdm import tqdm  # noqa: E402

from mmxattn.cli.errors import run_to_the_end  # noqa: E402
from mmxattn.cli.results import check_folder, recorded  # noqa: E402

DESCRIPTION = """\
Time each layer against the literal form of its paper, on maps of the sizes that it meets in its models.

Both compute the same numbers, which is checked, and take turns in one process. Told are the ratio of their times with
its 10th and 90th percentile, peak memory, bytes that their operators move, and how far ours is from the floor: the time
that this machine needs at least, to move the bytes that any form has to move or to do the layer's multiply-adds.
"""
EXAMPLES = """\
examples:
  everything, and the numbers as a file:
    %(prog)s --json layers.json

  two layers, compiled too:
    %(prog)s --layers SCSA FINE --compile

  one case, for a first look:
    %(prog)s --layers SCSA --only 512x7x7

  how time and memory of CFSAM and CLA grow with the image:
    %(prog)s --scaling
"""
DTYPES = dict(fp32=torch.float32, bf16=torch.bfloat16, fp16=torch.float16)


def parse_args():
    parser = argparse.ArgumentParser(
        prog='mim run mmxattn bench_layers', description=DESCRIPTION, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--layers', nargs='+', metavar='LAYER', help='SCSA, FINE, CFSAM, CLA (default: all)')
    parser.add_argument('--only', default='', metavar='TEXT', help='cases that have this in their title')
    parser.add_argument('--dtype', choices=DTYPES, default='fp32', help='of parameters and maps (default: %(default)s)')
    parser.add_argument('--inference-only', action='store_true', help='time no training step')
    what = parser.add_mutually_exclusive_group()
    what.add_argument('--compile', action='store_true', help='time the layer under torch.compile in the same turns')
    what.add_argument('--scaling', action='store_true',
                      help='time CFSAM and CLA at growing sizes instead, for each pixel')
    parser.add_argument('--turns', type=int, default=40, metavar='N',
                        help='how often each is timed (default: %(default)s)')
    parser.add_argument('--budget', type=float, default=20, metavar='SECONDS',
                        help='for one timing; fewer turns on a slow machine, five at least (default: %(default)s)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write everything there, after every timing')
    return parser.parse_args()


def main():
    args = parse_args()
    run_to_the_end(lambda: run(args), 'What is above was measured to its end.')


def run(args):
    # here, for it takes seconds to import: --help does not
    from benchmarks.layer_benchmark import bench_layers, rates, select
    from mmxattn.profiling.environment import clock_mhz, environment

    check_folder(args.json)
    if args.scaling:
        return run_scaling(args)
    cases = select(args.layers, args.only)
    device, dtype = 'cuda' if torch.cuda.is_available() else 'cpu', DTYPES[args.dtype]
    about = dict(environment('mmxattn'), clock_mhz=clock_mhz(), dtype=args.dtype)
    best, results = rates(device, dtype), []
    bar = tqdm(total=len(cases) * (1 if args.inference_only else 2), unit='timing', leave=False)
    try:
        timings = bench_layers(cases, best, device, dtype, not args.inference_only, args.turns, args.budget,
                               args.compile, bar.set_description_str)
        for _ in recorded(timings, results, args.json, environment=about, rates=asdict(best)):
            bar.update()
    finally:  # stopped or failed, what is measured is measured
        bar.close()
        if results:
            print_results(results, about, best)


def run_scaling(args):
    from benchmarks.layer_benchmark import GROWTHS, PASSES, bench_scaling, select
    from mmxattn.profiling.environment import clock_mhz, environment

    growths = select(args.layers, args.only, GROWTHS)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    about, results = dict(environment('mmxattn'), clock_mhz=clock_mhz(), dtype=args.dtype), []
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    table = Table(Column('', no_wrap=True), *(Column(head, justify='right') for head in (
        'side', 'ms', 'time a pixel /\nsmallest', 'MiB', 'memory a pixel /\nsmallest')))
    try:
        timings = bench_scaling(growths, device, dtype=DTYPES[args.dtype], training=not args.inference_only,
                                turns=args.turns, budget=args.budget, say=lambda what: print(what, file=sys.stderr))
        for grown in recorded(timings, results, args.json, environment=about):
            table.add_row(f'{grown.layer} {grown.title}\n{PASSES[grown.training]}', str(grown.side),
                          f'{statistics.median(grown.seconds) * 1000:.4g}', spread_text(grown.time_per_pixel),
                          f'{grown.memory / 2**20:.1f}', f'{grown.memory_per_pixel:.2f}')
    finally:
        if results:
            console.print(table)
            console.print(', '.join(f'{name} {value}' for name, value in about.items()), soft_wrap=True)


def print_results(results, about, best):
    """The table, and what it was measured on."""
    from benchmarks.layer_benchmark import PASSES
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    compiled = any(result.compiled for result in results)
    heads = ['literal /\nours', *(['ours /\ncompiled'] if compiled else []), 'ms:\nours\nfloor', 'ours /\nfloor',
             'memory,\nMiB: ours\nliteral', 'moved,\nMiB: ours\nliteral']
    table = Table(Column('', no_wrap=True), *(Column(head, justify='right', no_wrap=True) for head in heads),
                  show_lines=True)
    for result in results:
        forms = result.ours, result.literal
        table.add_row(
            f'{result.layer} {result.title}\n{PASSES[result.training]}', spread_text(result.speed_up),
            *([spread_text(result.compiled_speed_up)] if compiled else []),
            f'{statistics.median(result.ours.seconds) * 1000:.3g}\n{result.floor * 1000:.3g}',
            f'{result.above_floor.median:.2f}', mib(forms, 'memory'), mib(forms, 'bytes_moved'))
    console.print(table)
    for result in results:
        for note in result.notes:
            console.print(f'{result.layer} {result.title}, {PASSES[result.training]}: {note}', soft_wrap=True)
    stamp = ', '.join(f'{name} {value}' for name, value in about.items())
    console.print(
        f'Ratios are medians over the turns\' own, and their 10th to 90th percentile. The floor: copying at '
        f'{best.bytes_per_second / 1e9:.1f} GB/s, or multiplying matrices at {best.macs_per_second / 1e9:.1f} billion '
        f'multiply-adds/s. {stamp}', soft_wrap=True)


def spread_text(spread):
    """The median, and below it the 10th to the 90th percentile."""
    return '-' if spread is None else f'{spread.median:.2f}\n{spread.lower:.2f} to {spread.upper:.2f}'


def mib(forms, what):
    """One quantity of ours, and below it of the literal form."""
    amounts = [form and getattr(form, what) for form in forms]
    return '\n'.join('-' if amount is None else f'{amount / 2**20:.1f}' for amount in amounts)


if __name__ == '__main__':
    main()
