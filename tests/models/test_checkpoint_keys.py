"""Checkpoints stay loadable: tests/data/checkpoint_keys pins names and shapes of the tensors of every component.

If a name has to change, the component must also load the old one (``_load_from_state_dict``); its file stays.
"""
import functools

import pinned_components
import pytest
import torch

from mmxattn import layers, models
from mmxattn.layers import baselines


def pinned_keys(name):
    return (pinned_components.FOLDER / f'{name}.txt').read_text().splitlines()


@pytest.mark.parametrize('name', pinned_components.COMPONENTS)
def test_keys_and_shapes_are_pinned(name):
    module = pinned_components.COMPONENTS[name]()
    assert pinned_components.keys_of(module) == pinned_keys(name)
    assert pinned_keys(name) or not list(module.parameters()), 'an empty file pins a component without parameters only'


@pytest.mark.parametrize('name', [name for name in pinned_components.COMPONENTS if pinned_keys(name)])
def test_pinned_checkpoint_loads(name):
    module = pinned_components.COMPONENTS[name]()
    shapes = dict(line.split() for line in pinned_keys(name))
    module.load_state_dict({key: torch.zeros([int(side) for side in shape.split('x')] if shape != 'scalar' else [])
                            for key, shape in shapes.items()})
    assert all(tensor.eq(0).all() for tensor in module.state_dict().values())


@functools.cache
def pinned_classes():
    modules = [module for build in pinned_components.COMPONENTS.values() for module in build().modules()]
    return {cls for module in modules for cls in type(module).__mro__}


@pytest.mark.parametrize('package', [layers, baselines, models], ids=lambda package: package.__name__)
def test_every_exported_module_is_pinned(package):
    exported = [getattr(package, name) for name in package.__all__]
    modules = [cls for cls in exported if isinstance(cls, type) and issubclass(cls, torch.nn.Module)]
    assert modules and not set(modules) - pinned_classes()


def test_every_file_belongs_to_a_component():
    assert {file.stem for file in pinned_components.FOLDER.glob('*.txt')} == set(pinned_components.COMPONENTS)
