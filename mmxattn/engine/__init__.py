"""What lets a training run be stopped at any step and go on as if it had not been: loops, batches, hooks, files.

Source: none of the papers; mmengine 0.10 promises less (see each file for what it does instead).
"""
from ..utils.toolboxes import require

require('mmxattn.engine', 'mmengine', 'mmcv')

from .checkpoint_files import content_of, cut_short, newest_checkpoint  # noqa: E402
from .checkpoint_hook import ResumableCheckpointHook  # noqa: E402
from .loops import ResumableEpochLoop, ResumableIterLoop  # noqa: E402
from .resumable import make_resumable  # noqa: E402
from .resume import check_training, choose, first_process, same_everywhere  # noqa: E402
from .sampler import NumberedBatches  # noqa: E402
from .step_seed_hook import StepSeedHook  # noqa: E402

__all__ = ['NumberedBatches', 'ResumableCheckpointHook', 'ResumableEpochLoop', 'ResumableIterLoop', 'StepSeedHook',
           'check_training', 'choose', 'content_of', 'cut_short', 'first_process', 'make_resumable',
           'newest_checkpoint', 'same_everywhere']
