"""What each of two processes does, started by torch.distributed.run; and what one does alone, imported.

    python -m torch.distributed.run --nproc-per-node=2 two_processes.py FOLDER   leaves its findings in FOLDER/RANK.pth
"""
import os
import signal
import sys
import time
from functools import cache
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.fsdp
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.runner import Runner
from small_hosts import NEW, PARTS, recipe
from torch.distributed.device_mesh import init_device_mesh

import mmxattn.engine
import recipes

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools'))
from options import start_processes

STEPS, IMAGES = 3, 4  # steps, and images a step over all processes
LR = 1e-3
MOVE = 4e-3  # how far a step is to move each tensor of a part


class Sigterm(Hook):
    """Sends SIGTERM to this process after a step."""

    def __init__(self, step):
        self.step = step

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def own_gradients(part: str) -> dict:
    """The greatest gradient in each tensor of the part in its host, from batches that are the same in every process.

    From all that a run sees: what one batch happens to give is next to nothing for some tensors, and much later on.
    """
    config = recipe(part)
    model = recipes.build(config)
    images = Runner.build_dataloader(config.train_dataloader).dataset
    units = tuple(f'{name}.' for name, module in model.named_modules() if type(module).__name__ in NEW[part])
    assert units
    greatest = {name: 0. for name, _ in model.named_parameters() if name.startswith(units)}
    for first in range(0, STEPS * IMAGES, IMAGES):
        model.zero_grad()
        recipes.loss(model, pseudo_collate([images[first + number] for number in range(IMAGES)])).backward()
        for name in greatest:
            greatest[name] = max(greatest[name], float(model.get_parameter(name).grad.abs().max()))
    return greatest


@cache
def rates(part: str) -> dict:
    """For each tensor of the part the factor on the learning rate with which a step moves it about as far as MOVE.

    Its gradients may be a thousandth of the host's: at one rate for all, an error in them would not be seen in the
    weights. The bias of FINE's keys is left out: it is the same for all keys, and softmax takes it away.
    """
    return {name: MOVE / (LR * gradient) for name, gradient in own_gradients(part).items()
            if not name.endswith('k_proj.bias')}


def train(part: str, folder, processes: int, stop_after: int = 0, resume: bool = False):
    """The model's weights before and after STEPS steps of IMAGES images, and the number of the last step."""
    config = recipe(part)
    config.train_dataloader.update(batch_size=IMAGES // processes, dataset=dict(indices=STEPS * IMAGES))
    config.train_dataloader.dataset.pipeline.insert(-1, dict(type='RandomFlip', prob=0.5))
    config.train_cfg = dict(by_epoch=True, max_epochs=1, val_interval=9)
    config.optim_wrapper = dict(
        type='OptimWrapper', optimizer=dict(type='SGD', lr=LR, momentum=0.9),
        paramwise_cfg=dict(custom_keys={name: dict(lr_mult=rate) for name, rate in rates(part).items()}))
    config.update(param_scheduler=[], work_dir=str(folder), log_level='WARNING', resume=resume,
                  experiment_name=f'{part}-{time.time_ns()}', launcher='pytorch' if processes > 1 else 'none')
    mmxattn.engine.make_resumable(config)
    start_processes(config)
    runner = Runner.from_cfg(config)
    if stop_after:
        runner.register_hook(Sigterm(stop_after))
    model = getattr(runner.model, 'module', runner.model)
    model.init_weights()
    model._is_init = True  # the runner does not draw them again
    before = copy_of(model.state_dict())
    try:
        runner.train()
    except SystemExit as stop:
        assert stop.code == 143
    return before, copy_of(model.state_dict()), runner.iter


def copy_of(weights: dict) -> dict:
    return {name: value.clone() for name, value in weights.items()}


def shard(part: str) -> tuple[dict, dict]:
    """Loss and gradients of a host whole and in shards, the new layers in their own."""
    from torch.distributed.fsdp import fully_shard
    model = recipes.build(recipe(part))
    batch = recipes.inputs(recipe(part), model, [(96, 64)] * 2)
    loss = recipes.loss(model, batch)
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    whole = dict(gradients, loss=loss.detach())
    model.zero_grad()
    mesh = init_device_mesh('cpu', (dist.get_world_size(),))
    units = [module for module in model.modules() if type(module).__name__ in NEW[part]]
    assert units
    hosts = [model.backbone, model.neck] if model.with_neck else [model.backbone]
    # from the inside; not the head: FCOS's scales are scalars, which have no shards
    for unit in [*reversed(units), *hosts]:
        fully_shard(unit, mesh=mesh)
    data = model.data_preprocessor(batch, training=True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    gradients = {name: getattr(p.grad, 'full_tensor', lambda grad=p.grad: grad)() for name, p in
                 model.named_parameters() if p.requires_grad}
    return whole, dict(gradients, loss=loss.detach())


if __name__ == '__main__':
    folder, found = Path(sys.argv[1]), {}
    for part in PARTS:
        _, found[part], _ = train(part, folder / part, 2)
    # SIGTERM reaches the second process alone
    _, _, found['stopped at'] = train('cla', folder / 'stopped', 2, stop_after=dist.get_rank() * 2)
    _, found['resumed'], _ = train('cla', folder / 'stopped', 2, resume=True)
    if hasattr(torch.distributed.fsdp, 'fully_shard'):
        found['shards'] = {part: shard(part) for part in PARTS}
    torch.save(found, folder / f'{dist.get_rank()}.pth')
    dist.destroy_process_group()
