"""Benchmark layers against their reference forms. Run ``python -m benchmarks.bench_layers`` from a checkout."""

import argparse
import statistics
import sys
from dataclasses import asdict
from pathlib import Path

from mmxattn.cli.errors import run_cli
from mmxattn.cli.results import check_output_folder, save_results
from mmxattn.utils.toolboxes import require

DESCRIPTION = """\
Benchmark each layer on feature maps of the sizes that occur in its models.

SCSA and CLA are compared with their reference forms, the equations of the paper in plain PyTorch: both must compute the
same numbers and are timed in turns. The table has the ratio of their times with its 10th and 90th percentiles, peak
memory, the bytes moved by the operators, and the ratio to the roofline, the lower bound of the time on this machine.
"""
EXAMPLES = """\
examples:
  everything, with a JSON file:
    %(prog)s --json layers.json

  two layers, also under torch.compile:
    %(prog)s --layers SCSA CLA --compile

  a single case:
    %(prog)s --layers SCSA --only 512x7x7

  scaling of CFSAM and CLA with the image size:
    %(prog)s --scaling
"""
DTYPES = dict(fp32='float32', bf16='bfloat16', fp16='float16')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='python -m benchmarks.bench_layers', description=DESCRIPTION, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--layers', nargs='+', metavar='LAYER', help='SCSA, FINE, CFSAM, CLA (default: all)')
    parser.add_argument('--only', default='', metavar='TEXT', help='only cases with this text in their title')
    parser.add_argument('--dtype', choices=DTYPES, default='fp32', help='parameters and maps (default: %(default)s)')
    parser.add_argument('--inference-only', action='store_true', help='skip training steps')
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument('--compile', action='store_true', help='also time the layer under torch.compile')
    mode.add_argument('--scaling', action='store_true', help='time CFSAM and CLA at several image sizes instead')
    parser.add_argument('--turns', type=int, default=40, metavar='N', help='timings per case (default: %(default)s)')
    parser.add_argument('--budget', type=float, default=20, metavar='SECONDS',
                        help='stop a timing early after this time, but not before 5 turns (default: %(default)s)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='save all results after each timing')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    run_cli(lambda: run(args), 'The results above are complete.')


def run(args: argparse.Namespace) -> None:
    check_output_folder(args.json)
    require('The layer benchmark', 'mmengine', 'mmcv')
    import torch  # slow to import

    from benchmarks import layer_benchmark as bench
    from benchmarks.tables import metadata
    results, device, dtype = [], 'cuda' if torch.cuda.is_available() else 'cpu', getattr(torch, DTYPES[args.dtype])
    about = dict(metadata(), dtype=args.dtype)
    options = dict(device=device, dtype=dtype, training=not args.inference_only, turns=args.turns, budget=args.budget,
                   log=lambda line: print(line, file=sys.stderr))
    if args.scaling:
        timings = bench.bench_scaling(bench.select(args.layers, args.only, bench.SCALING_CASES), **options)
        extra = {}
    else:
        cases, peak = bench.select(args.layers, args.only), bench.measure_peak_rates(device, dtype)
        timings = bench.bench_layers(cases, peak, compiled=args.compile, **options)
        extra = dict(peak_rates=asdict(peak))
    try:
        for _ in save_results(timings, results, args.json, environment=about, **extra):
            pass
    finally:  # print the results so far after an error or Ctrl-C
        if results:
            (print_scaling if args.scaling else print_layers)(results)
            print(', '.join(f'{name} {value}' for name, value in {**about, **extra}.items()))


def print_layers(results: list) -> None:
    from benchmarks.layer_benchmark import PASSES
    from benchmarks.tables import print_table, spread_text
    compiled = any(result.compiled for result in results)
    rows = []
    for result in results:
        rows.append([
            f'{result.layer} {result.title}\n{PASSES[result.training]}', spread_text(result.speedup),
            *([spread_text(result.compiled_speedup)] if compiled else []),
            f'{statistics.median(result.eager.seconds) * 1000:.3g}\n{result.roofline * 1000:.3g}',
            f'{result.roofline_ratio.median:.2f}', mib(result, 'memory'), mib(result, 'bytes_moved')])
    print_table(['reference /\nlayer', *(['layer /\ncompiled'] if compiled else []), 'ms: layer\nroofline',
                 'layer /\nroofline', 'memory, MiB:\nlayer\nreference', 'moved, MiB:\nlayer\nreference'], rows)
    for result in results:
        for note in result.notes:
            print(f'{result.layer} {result.title}, {PASSES[result.training]}: {note}')
    print('Ratios are medians over turns, with the 10th to the 90th percentile.')


def print_scaling(results: list) -> None:
    from benchmarks.layer_benchmark import PASSES
    from benchmarks.tables import print_table, spread_text
    print_table(['side', 'ms', 'time per pixel /\nsmallest', 'MiB', 'memory per pixel /\nsmallest'], [
        [f'{result.layer} {result.title}\n{PASSES[result.training]}', str(result.side),
         f'{statistics.median(result.seconds) * 1000:.4g}', spread_text(result.time_per_pixel),
         f'{result.memory / 2**20:.1f}', f'{result.memory_per_pixel:.2f}'] for result in results])


def mib(result, attribute: str) -> str:
    """Format a quantity of the layer above that of the reference form."""
    values = [getattr(form, attribute) if form else None for form in (result.eager, result.reference)]
    return '\n'.join('-' if value is None else f'{value / 2**20:.1f}' for value in values)


if __name__ == '__main__':
    main()
