"""Enable resumable training in a config."""
from mmengine.config import Config

__all__ = ['make_resumable']

LOOPS = {'EpochBasedTrainLoop': 'mmxattn.ResumableEpochLoop', 'IterBasedTrainLoop': 'mmxattn.ResumableIterLoop'}


def make_resumable(cfg: Config) -> None:
    """Replace the loop, batch sampler and CheckpointHook of a config with resumable ones, and add StepSeedHook.

    Model, data, schedule and all arguments are unchanged. Custom loops and checkpoint hooks are kept as they are.

    Args:
        cfg: Training config, modified in place.
    """
    loop = cfg.train_cfg
    loop_type = loop.get('type') or ('EpochBasedTrainLoop' if loop.get('by_epoch') else 'IterBasedTrainLoop')
    if loop_type in LOOPS:
        loop.pop('by_epoch', None)
        loop.type = LOOPS[loop_type]
        dataloader = cfg.train_dataloader
        dataloader.batch_sampler = dict(type='mmxattn.DeterministicBatchSampler',
                                        batch_sampler=dataloader.get('batch_sampler'),
                                        drop_last=dataloader.pop('drop_last', False))
    hooks = cfg.setdefault('default_hooks', {})
    checkpoint = hooks.setdefault('checkpoint', dict(type='CheckpointHook', interval=1))
    if checkpoint and checkpoint['type'] == 'CheckpointHook':
        checkpoint['type'] = 'mmxattn.ResumableCheckpointHook'
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), dict(type='mmxattn.StepSeedHook')]
