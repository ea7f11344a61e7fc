"""The random numbers of every training step from the run's seed, the process and the step.

mmengine saves no generator's state: after ``--resume``, dropout, sampled boxes and the like are drawn anew from the
seed, as in the first steps. A state could be saved by the process that writes checkpoints only; numbers that follow
from the step need no saving, on any number of processes, and what validation and data loading draw between steps does
not reach them.
"""
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from ..registry import HOOKS
from .seeds import seed_generators

__all__ = ['StepSeedHook']


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seed Python's, NumPy's and torch's generators before each step: ``custom_hooks=[dict(type='StepSeedHook')]``."""
    priority = 'VERY_HIGH'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        seed_generators(runner.seed, get_rank(), runner.iter)
