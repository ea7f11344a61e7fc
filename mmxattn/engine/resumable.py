"""Everything that resuming needs, switched on in a recipe."""
from mmengine.config import Config

__all__ = ['make_resumable']

LOOPS = {'EpochBasedTrainLoop': 'mmxattn.ResumableEpochLoop', 'IterBasedTrainLoop': 'mmxattn.ResumableIterLoop'}


def make_resumable(config: Config) -> None:
    """Let a recipe's run be stopped at any step and go on as if it had not been.

    Its loop, its batches, its CheckpointHook and one more hook are replaced or added; the model, the data, the schedule
    and every argument stay. A part that is not mmengine's own stays as it is, and so does its behaviour.
    """
    loop = config.train_cfg
    kind = loop.get('type') or ('EpochBasedTrainLoop' if loop.get('by_epoch') else 'IterBasedTrainLoop')
    batches = config.train_dataloader.get('batch_sampler')
    if kind in LOOPS:
        loop.pop('by_epoch', None)
        loop.type = LOOPS[kind]
        config.train_dataloader.batch_sampler = dict(type='mmxattn.NumberedBatches', batches=batches,
                                                     drop_last=config.train_dataloader.pop('drop_last', False))
    hooks = config.setdefault('default_hooks', {})
    checkpoint = hooks.setdefault('checkpoint', dict(type='CheckpointHook', interval=1))
    if checkpoint and checkpoint['type'] == 'CheckpointHook':
        checkpoint['type'] = 'mmxattn.ResumableCheckpointHook'
    config.custom_hooks = [*(config.get('custom_hooks') or []), dict(type='mmxattn.StepSeedHook')]
