"""Train a config: `mim train mmxattn CONFIG` or `python tools/train.py CONFIG`."""
# First import, since it reports missing toolboxes.
from .options import base_parser, config_from_args, destroy_cpu_process_group, init_cpu_process_group

# isort: split
import argparse
import weakref
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import init_dist, is_distributed
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing

from ..engine import (
    broadcast_from_main,
    check_same_on_all_ranks,
    check_training_state,
    make_resumable,
    select_checkpoint,
)
from ..engine.checkpoint_files import read_training_state
from .errors import exit_on_error
from .validation import check_checkpoint, check_launcher, check_load_from, check_sections

__all__ = ['main']


def parse_args() -> argparse.Namespace:
    parser = base_parser('Train a config.')
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size')
    parser.add_argument('--resume', nargs='?', const='auto', metavar='CHECKPOINT',
                        help='resume from this checkpoint, or from the latest one in the work folder')
    parser.add_argument('--stock-loop', action='store_true',
                        help="use mmengine's own loop, batches and checkpoints: an interrupted run does not resume "
                        'exactly, and restarts the interrupted epoch')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        with exit_on_error():
            cfg, warnings = prepare(args)
    except SystemExit:
        destroy_cpu_process_group()
        raise
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    for warning in warnings:
        runner.logger.warning(warning)
    runner.train()
    model = weakref.ref(runner.model)
    del runner
    destroy_cpu_process_group(model)


def prepare(args: argparse.Namespace) -> tuple[Config, list[str]]:
    """Build the config to train from the arguments.

    Args:
        args: Parsed arguments.

    Returns:
        The config and the warnings to log.

    Raises:
        ValueError: If the arguments are invalid.
    """
    check_launcher(args.launcher, args.config)
    cfg = config_from_args(args)
    check_sections(cfg, 'train')
    if args.amp:
        enable_amp(cfg)
    if args.auto_scale_lr:
        enable_lr_scaling(cfg)
    warnings = enable_resume(cfg, args.resume) if args.resume is not None else []
    check_load_from(cfg)
    if not args.stock_loop:
        make_resumable(cfg)
    init_cpu_process_group(cfg)
    return cfg, warnings


def enable_amp(cfg: Config) -> None:
    """Train in mixed precision."""
    wrapper = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if wrapper not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(f'--amp needs an optim_wrapper of type OptimWrapper, got {wrapper}: omit --amp.')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def enable_lr_scaling(cfg: Config) -> None:
    """Scale the learning rate with the batch size."""
    scaling = cfg.get('auto_scale_lr')
    base = scaling.get('base_batch_size') if isinstance(scaling, dict) else None
    if not isinstance(base, int) or base < 1:
        raise ValueError(f'--auto-scale-lr needs the batch size that the learning rate was chosen for, got '
                         f'auto_scale_lr={scaling!r}: add --cfg-options auto_scale_lr.base_batch_size=16')
    cfg.auto_scale_lr.enable = True


def enable_resume(cfg: Config, checkpoint: str) -> list[str]:
    """Resume from a checkpoint that the main process selects for all processes.

    If the config has no seed, that of the checkpoint is used, since the order of the data depends on it.

    Args:
        cfg: Training config, modified in place.
        checkpoint: Path or URL, or ``'auto'`` for the latest complete checkpoint in the work folder. Without one,
            training starts as usual.

    Returns:
        The warnings to log.

    Raises:
        ValueError: On all processes, if the checkpoint cannot be resumed or is not the same file on all of them.
    """
    if not checkpoint.strip():
        raise ValueError('--resume got an empty string (an unset shell variable?): give the path of a .pth file, or '
                         '--resume auto.')
    connect_processes(cfg)
    needs_seed = (cfg.get('randomness') or {}).get('seed') is None

    def select() -> tuple[str | None, list[str], int | None]:
        selected, warnings = select_checkpoint(cfg.work_dir, None if checkpoint == 'auto' else checkpoint)
        return selected, warnings, seed_of(selected) if selected and needs_seed else None

    selected, warnings, seed = broadcast_from_main(select)
    if selected is None:
        return warnings
    check_same_on_all_ranks(selected)
    cfg.resume, cfg.load_from = True, selected
    if seed is not None:
        cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)

    def check() -> None:
        check_checkpoint(cfg, selected)
        check_training_state(selected)

    broadcast_from_main(check)
    return warnings


def seed_of(checkpoint: str) -> int | None:
    """Return the seed of the run that wrote a checkpoint, or None if unknown."""
    if not Path(checkpoint).is_file():
        return None
    content = read_training_state(checkpoint)
    meta = content.get('meta') if isinstance(content, dict) else None
    return meta.get('seed') if isinstance(meta, dict) else None


def connect_processes(cfg: Config) -> None:
    """Initialize the process group before the runner does, so that processes can agree on a checkpoint.

    Strategies of FlexibleRunner that create their own process groups are skipped. The processes then agree when the
    training loop is built.
    """
    init_cpu_process_group(cfg)
    strategy = (cfg.get('strategy') or {}).get('type')
    if cfg.launcher == 'none' or is_distributed() or strategy in ('DeepSpeedStrategy', 'ColossalAIStrategy'):
        return
    env_cfg = cfg.get('env_cfg') or {}
    set_multi_processing(**env_cfg.get('mp_cfg', {}), distributed=True)
    init_dist(cfg.launcher, **env_cfg.get('dist_cfg', {}))


if __name__ == '__main__':
    main()
