"""Train a recipe: `mim train mmxattn CONFIG`, or `python tools/train.py CONFIG`."""
from .options import (  # first: it says which toolbox is missing
    end_processes,
    load_config,
    option_parser,
    start_processes,
)

# isort: split
import weakref
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import init_dist, is_distributed
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing

from mmxattn.engine import check_training, choose, content_of, first_process, make_resumable, same_everywhere

from .validation import check_checkpoint, check_launcher, check_parts, check_start


def use_amp(config: Config) -> None:
    """Train in mixed precision."""
    kind = config.optim_wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise SystemExit(f'--amp replaces an OptimWrapper and this recipe has a {kind}: leave --amp out.')
    config.optim_wrapper.type = 'AmpOptimWrapper'
    config.optim_wrapper.setdefault('loss_scale', 'dynamic')


def scale_learning_rate(config: Config) -> None:
    """Let the learning rate follow the batch size, from the batch size that the recipe was written for."""
    settings = config.get('auto_scale_lr')
    base = settings.get('base_batch_size') if isinstance(settings, dict) else None
    if not isinstance(base, int) or base < 1:
        raise SystemExit('--auto-scale-lr needs the batch size that the learning rate was chosen for, and the recipe '
                         f'has auto_scale_lr={settings!r}: add --cfg-options auto_scale_lr.base_batch_size=16')
    config.auto_scale_lr.enable = True


def resume(config: Config, checkpoint: str) -> list[str]:
    """Go on from ``checkpoint``; 'auto' is the newest whole one in work_dir and, where there is none, a start as usual.

    Where the recipe has no seed the run goes on with the one that it began with: the order of the data depends on it.
    The first process chooses for all.

    Returns:
        what the log has to say of the choice.

    Raises:
        SystemExit: the checkpoint cannot be gone on from, or not every process finds it; the same in all of them.
    """
    if not str(checkpoint).strip():
        raise SystemExit("--resume was given an empty name (a shell's variable that is not set?): give the path of a "
                         '.pth file, or --resume auto.')
    connect_processes(config)
    own_seed = (config.get('randomness') or {}).get('seed')

    def answer():
        chosen, said = choose(config.work_dir, None if checkpoint == 'auto' else str(checkpoint))
        return chosen, said, seed_of(chosen) if chosen and own_seed is None else None

    try:
        chosen, said, seed = first_process(answer)
        if chosen is not None:
            same_everywhere(chosen)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    if chosen is None:
        return said
    config.resume, config.load_from = True, chosen
    if seed is not None:
        config.randomness = dict(config.get('randomness') or {}, seed=seed)
    return said


def seed_of(checkpoint: str):
    """The seed of the run that wrote it; None where it does not say, or is not a file here."""
    if not Path(checkpoint).is_file():
        return None
    content = content_of(checkpoint)
    meta = content.get('meta') if isinstance(content, dict) else None
    return meta.get('seed') if isinstance(meta, dict) else None


def connect_processes(config: Config) -> None:
    """Bring up the process group before the runner does: processes can agree on a checkpoint then.

    Strategies of FlexibleRunner that bring up a group of their own kind are left alone; with them the loop agrees.
    """
    start_processes(config)
    strategy = (config.get('strategy') or {}).get('type')
    if config.launcher == 'none' or is_distributed() or strategy in ('DeepSpeedStrategy', 'ColossalAIStrategy'):
        return
    environment = config.get('env_cfg') or {}
    set_multi_processing(**environment.get('mp_cfg', {}), distributed=True)
    init_dist(config.launcher, **environment.get('dist_cfg', {}))


def check_resumed(config: Config) -> None:
    """Exit, in all processes with the same sentence, where the recipe's model cannot go on from the checkpoint."""
    def check():
        check_checkpoint(config, config.load_from)
        check_training(config.load_from)

    try:
        first_process(check)
    except ValueError as error:
        raise SystemExit(str(error)) from error


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
    check_launcher(arguments.launcher, arguments.config)
    config = load_config(arguments)
    check_parts(config, 'train')
    if arguments.amp:
        use_amp(config)
    if arguments.auto_scale_lr:
        scale_learning_rate(config)
    said = []
    if arguments.resume is not None:
        try:
            said = resume(config, arguments.resume)
            if config.get('resume'):
                check_resumed(config)
        except SystemExit:
            end_processes(lambda: None)
            raise
    check_start(config)
    if not arguments.stock_loop:
        make_resumable(config)
    start_processes(config)
    runner = RUNNERS.build(config) if 'runner_type' in config else Runner.from_cfg(config)
    for sentence in said:
        runner.logger.warning(sentence)
    runner.train()
    model = weakref.ref(runner.model)
    del runner
    end_processes(model)


if __name__ == '__main__':
    main()
