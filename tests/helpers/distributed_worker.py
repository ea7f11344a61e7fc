"""Worker of tests/distributed/test_two_processes.py: compares data parallel gradients with those of one process.

    python -m torch.distributed.run --nproc-per-node=2 distributed_worker.py FOLDER    saves FOLDER/RANK.pth
"""
import copy
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from small_models import MODULES, small_config, submodules
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP
from torch.nn.parallel import DistributedDataParallel

import mmxattn  # noqa: F401  registers the components
import recipes


def gradients(model, batch) -> dict[str, torch.Tensor]:
    """Loss and gradients of a batch by name, without the prefixes of wrappers."""
    model.zero_grad()
    inner = getattr(model, 'module', model)
    data = inner.data_preprocessor(copy.deepcopy(batch), training=True)
    loss, _ = inner.parse_losses(model(**data, mode='loss'))
    loss.backward()
    found = {name.removeprefix('module.'): getattr(p.grad, 'full_tensor', lambda grad=p.grad: grad)()
             for name, p in model.named_parameters() if p.grad is not None}
    return {name: grad.clone() for name, grad in found.items()} | dict(loss=loss.detach())


def ddp(model, batch, module):
    """DDP, each process with its half of the batch. It raises if a parameter is unused."""
    rank, half = dist.get_rank(), len(batch['inputs']) // 2
    own = {key: values[rank * half:(rank + 1) * half] for key, values in batch.items()}
    found = gradients(DistributedDataParallel(model), own)
    dist.all_reduce(found['loss'])
    found['loss'] /= 2
    return found


def fsdp(model, batch, module):
    """FSDP around the new modules, each process with the same batch."""
    for name in reversed(submodules(model, module)):
        parent, _, child = name.rpartition('.')
        unit = FSDP(model.get_submodule(name), device_id=torch.device('cpu'), use_orig_params=True)
        setattr(model.get_submodule(parent), child, unit)
    loss = gradients(model, batch)['loss']
    with FSDP.summon_full_params(model, with_grads=True):
        return {name.replace('_fsdp_wrapped_module.', ''): p.grad.clone() for name, p in model.named_parameters()
                if p.grad is not None} | dict(loss=loss)


def fully_shard(model, batch, module):
    """fully_shard around the new modules and the backbone, each process with the same batch."""
    mesh = init_device_mesh('cpu', (dist.get_world_size(),))
    for name in [*reversed(submodules(model, module)), 'backbone']:
        torch.distributed.fsdp.fully_shard(model.get_submodule(name), mesh=mesh)
    return gradients(model, batch)


def main(folder: Path) -> None:
    dist.init_process_group('gloo')
    wrappers = [ddp, fsdp]
    if hasattr(torch.distributed.fsdp, 'fully_shard'):  # torch >= 2.6
        wrappers.append(fully_shard)
    found = {}
    for module in MODULES:
        config = small_config(module)
        model = recipes.build(config)
        batch = recipes.inputs(config, model, [(96, 64)] * 4)
        found[module] = {'one process': gradients(model, batch)}
        for wrapper in wrappers:
            found[module][wrapper.__name__] = wrapper(copy.deepcopy(model), batch, module)
    torch.save(found, folder / f'{os.environ["RANK"]}.pth')
    dist.destroy_process_group()


if __name__ == '__main__':
    main(Path(sys.argv[1]))
