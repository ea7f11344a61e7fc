"""Train a recipe: `mim train mmxattn CONFIG`, or `python tools/train.py CONFIG`."""
from options import (  # first: it says which toolbox is missing
    end_processes,
    load_config,
    option_parser,
    start_processes,
)

# isort: split
import pickle
import weakref
from pathlib import Path

import torch
from given import check_checkpoint, check_start
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmxattn.compat import LOADS_WEIGHTS_ONLY, unreadable
from mmxattn.engine import cut_short, make_resumable, newest_checkpoint


def use_amp(config: Config) -> None:
    """Train in mixed precision."""
    kind = config.optim_wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise SystemExit(f'--amp replaces an OptimWrapper and this recipe has a {kind}: leave --amp out.')
    config.optim_wrapper.type = 'AmpOptimWrapper'
    config.optim_wrapper.setdefault('loss_scale', 'dynamic')


def scale_learning_rate(config: Config) -> None:
    """Let the learning rate follow the batch size, from the batch size that the recipe was written for."""
    if 'base_batch_size' not in config.get('auto_scale_lr', {}):
        raise SystemExit('--auto-scale-lr needs the batch size that the learning rate was chosen for: add '
                         '--cfg-options auto_scale_lr.base_batch_size=16')
    config.auto_scale_lr.enable = True


def resume(config: Config, checkpoint: str) -> None:
    """Go on from ``checkpoint``; 'auto' is the newest whole one in work_dir and, where there is none, a start as usual.

    Where the recipe has no seed the run goes on with the one that it began with: the order of the data depends on it.
    """
    if checkpoint == 'auto':
        checkpoint = newest_checkpoint(config.work_dir)
    elif Path(checkpoint).exists() and cut_short(checkpoint):
        raise SystemExit(f'The checkpoint {checkpoint} is cut short; the newest whole one in its folder: '
                         f'{newest_checkpoint(Path(checkpoint).parent)}.')
    if not checkpoint:
        return
    config.resume, config.load_from = True, str(checkpoint)
    if Path(checkpoint).is_file() and (config.get('randomness') or {}).get('seed') is None:
        try:
            meta = torch.load(checkpoint, map_location='cpu', weights_only=LOADS_WEIGHTS_ONLY).get('meta', {})
        except pickle.UnpicklingError as error:
            raise SystemExit(str(unreadable(checkpoint, error))) from error
        config.randomness = dict(config.get('randomness') or {}, seed=meta.get('seed'))


def main():
    parser = option_parser('Train a recipe.')
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument('--auto-scale-lr', action='store_true', help='let the learning rate follow the batch size')
    parser.add_argument('--resume', nargs='?', const='auto', metavar='CHECKPOINT',
                        help='go on from this checkpoint, or from the newest whole one in the work folder')
    parser.add_argument('--stock-loop', action='store_true',
                        help="train with the toolboxes' own loop, batches and checkpoints: a run that is stopped does "
                        'not go on exactly, nor from the middle of an epoch')
    arguments = parser.parse_args()
    config = load_config(arguments)
    if arguments.amp:
        use_amp(config)
    if arguments.auto_scale_lr:
        scale_learning_rate(config)
    if arguments.resume:
        resume(config, arguments.resume)
        if config.get('resume'):
            check_checkpoint(config, config.load_from)
    check_start(config)
    if not arguments.stock_loop:
        make_resumable(config)
    start_processes(config)
    runner = RUNNERS.build(config) if 'runner_type' in config else Runner.from_cfg(config)
    runner.train()
    model = weakref.ref(runner.model)
    del runner
    end_processes(model)


if __name__ == '__main__':
    main()
