"""What mmengine's FlexibleRunner trains in shards over two processes (FSDP), and what it trains in one.

RetinaNet's loss is divided by the positives of its own process: one process takes the two batches of a step one after
the other and adds up their gradients. (FCOS's scales have no dimension, and FSDP takes no such parameter.)

    python -m torch.distributed.run --nproc-per-node=2 sharded_runner.py FOLDER   leaves its findings in FOLDER/RANK.pth
"""
import os
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.dist import barrier
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS, RUNNERS
from small_hosts import NEW, PARTS, recipe

from mmxattn.engine import make_resumable

STEPS, IMAGES = 3, 2  # steps, and images a step and process
RETINANET = 'retinanet/retinanet_r50_fpn_1x_coco.py'
WHOLE = dict(state_dict_type='FULL_STATE_DICT', state_dict_config=dict(type='FullStateDictConfig'),
             optim_state_dict_config=dict(type='FullOptimStateDictConfig'))


@FUNCTIONS.register_module()
def parts_in_units(module, recurse, nonwrapped_numel, kinds):
    """A policy of FSDP: modules of these classes are units."""
    return recurse or type(module).__name__ in kinds


class Watch(Hook):
    """The weights at the start and the loss of each batch."""

    def __init__(self):
        self.weights, self.losses = {}, []

    def before_train(self, runner):
        self.weights = {name: value.clone() for name, value in runner.model.state_dict().items()}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(float(outputs['loss'].detach()))


def runner(part: str, folder, processes: int, state_dict_cfg=WHOLE, **changes):
    config = recipe(part, RETINANET)
    step = range(4) if processes > 1 else (0, 2, 1, 3)  # what the first process has, then the second
    order = [4 * number + image for number in range(STEPS) for image in step]
    config.train_dataloader.update(batch_size=IMAGES, dataset=dict(indices=order),
                                   sampler=dict(type='DefaultSampler', shuffle=False))
    config.train_cfg = dict(by_epoch=True, max_epochs=1)
    wrapper = dict(type='MMFullyShardedDataParallel', device_id='cpu',
                   auto_wrap_policy=dict(type='parts_in_units', kinds=NEW[part]))
    config.update(
        param_scheduler=[], work_dir=str(folder), log_level='ERROR', runner_type='FlexibleRunner',
        experiment_name=f'sharded-{time.time_ns()}', launcher='pytorch' if processes > 1 else 'none',
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-2, momentum=0.9),
                           accumulative_counts=2 if processes == 1 else 1),
        strategy=dict(type='SingleDeviceStrategy') if processes == 1 else
        dict(type='FSDPStrategy', model_wrapper=wrapper, state_dict_cfg=state_dict_cfg))
    config.update(changes)
    make_resumable(config)
    return RUNNERS.build(config)


def train(part: str, folder, processes: int) -> dict:
    """The weights before and after, the latter from the checkpoint, and the losses."""
    watch = Watch()
    trained = runner(part, folder, processes)
    trained.register_hook(watch)
    trained.train()
    units = sum(type(module).__name__ == 'FullyShardedDataParallel' for module in trained.model.modules())
    assert processes == 1 or units > 0
    barrier()  # the first process writes it
    after = torch.load(Path(folder) / 'epoch_1.pth')['state_dict']
    return dict(before=watch.weights, after=after, losses=watch.losses)


def refusal(part: str, folder, state_dict_cfg) -> str:
    """What is said to a run that is to go on from its checkpoint."""
    runner(part, folder, 2, state_dict_cfg).train()
    barrier()
    try:
        runner(part, folder, 2, state_dict_cfg, resume=True).train()
    except Exception as error:
        return f'{type(error).__name__}: {error}'
    return ''


if __name__ == '__main__':
    folder = Path(sys.argv[1])
    dist.init_process_group('gloo')
    found = {part: train(part, folder / part, 2) for part in PARTS}
    found['resume'] = {name: refusal('cla', folder / name, how)
                       for name, how in dict(shards='local', whole=WHOLE).items()}
    torch.save(found, folder / f'{os.environ["RANK"]}.pth')
    dist.destroy_process_group()
