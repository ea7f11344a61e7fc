"""Resumable training: a run that is stopped at any step continues exactly as if it had not been stopped."""
from ..utils.toolboxes import require

require('mmxattn.engine', 'mmengine', 'mmcv')

from .checkpoint_files import find_latest_checkpoint, is_truncated  # noqa: E402
from .checkpoint_hook import ResumableCheckpointHook  # noqa: E402
from .loops import ResumableEpochLoop, ResumableIterLoop  # noqa: E402
from .resumable import make_resumable  # noqa: E402
from .resume import broadcast_from_main, check_same_on_all_ranks, check_training_state, select_checkpoint  # noqa: E402
from .sampler import DeterministicBatchSampler, NumberedBatches  # noqa: E402
from .step_seed_hook import StepSeedHook  # noqa: E402

__all__ = ['DeterministicBatchSampler', 'NumberedBatches', 'ResumableCheckpointHook', 'ResumableEpochLoop',
           'ResumableIterLoop', 'StepSeedHook', 'broadcast_from_main', 'check_same_on_all_ranks',
           'check_training_state', 'find_latest_checkpoint', 'is_truncated', 'make_resumable', 'select_checkpoint']
