"""A checkpoint goes on loading: names and shapes of every part's tensors stay as tests/data/checkpoint_keys has them.

Where a change of names is wanted, the part has to load the old ones too (``_load_from_state_dict``); its file stays.
"""
import functools

import pinned_parts
import pytest
import torch

from mmxattn import layers, models
from mmxattn.layers import baselines as baselines


@pytest.mark.parametrize('name', pinned_parts.PARTS)
def test_keys_and_shapes_are_pinned(name):
    assert pinned_parts.keys_of(name) == (pinned_parts.FOLDER / f'{name}.txt').read_text().split('\n')[:-1]


# What is exported and never a module itself -> why, and where its tensors are pinned
NO_MODULES = dict(WithPlugins="returns the host that it puts plugins into: 'resnet_scsa'")


@pytest.mark.parametrize('package', [layers, baselines, models], ids=lambda package: package.__name__)
def test_every_part_that_is_exported_is_pinned(package):
    """It is a module somewhere in PARTS, or another form of one."""
    pinned = pinned_classes()
    assert [name for name in package.__all__ if getattr(package, name) not in pinned and name not in NO_MODULES] == []


@functools.cache
def pinned_classes():
    modules = [module for build in pinned_parts.PARTS.values() for module in build().modules()]
    return {cls for module in modules for cls in type(module).__mro__}


def test_every_file_belongs_to_a_part():
    assert {file.stem for file in pinned_parts.FOLDER.glob('*.txt')} == set(pinned_parts.PARTS)


@pytest.mark.parametrize('name', pinned_parts.PARTS)
def test_an_old_checkpoint_loads(name):
    """Made from the file alone, as if trained with the version that wrote it."""
    module = pinned_parts.PARTS[name]()
    state = {}
    for line in (pinned_parts.FOLDER / f'{name}.txt').read_text().split('\n')[:-1]:
        key, shape = line.split()
        state[key] = torch.zeros([int(side) for side in shape.split('x')] if shape != 'scalar' else [])
    module.load_state_dict(state)
    assert all(tensor.eq(0).all() for tensor in module.state_dict().values())


def test_new_files_are_written_and_old_ones_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(pinned_parts, 'FOLDER', tmp_path)
    monkeypatch.setattr(pinned_parts, 'PARTS', {name: pinned_parts.PARTS[name] for name in ('scsa', 'sni', 'fca')})
    (tmp_path / 'fca.txt').write_text('as it was\n')
    pinned_parts.main()
    assert (tmp_path / 'fca.txt').read_text() == 'as it was\n' and (tmp_path / 'sni.txt').read_text() == ''
    assert 'norm_h.weight 16\n' in (tmp_path / 'scsa.txt').read_text()
