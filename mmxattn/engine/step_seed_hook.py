"""Hook that seeds each training step from the run's seed, the process and the step.

mmengine saves no generator state: after ``--resume``, dropout and sampled boxes repeat those of the first steps. Seeds
derived from the step need not be saved, work with any number of processes, and are independent of the random numbers
that validation and data loading draw between steps.
"""
from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..registry import HOOKS
from .seeds import seed_all

__all__ = ['StepSeedHook']


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seed the generators of Python, NumPy and PyTorch before each training step."""

    priority = 'VERY_HIGH'

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        seed_all(runner.seed, get_rank(), runner.iter)
