"""Layers through torch.export, ONNX Runtime, TorchScript and torch.compile.

A program exported at one size is run at others: odd ones, and one whose tokens CFSAM's parts divide.
"""
import functools

import pytest
import torch
from torch.export import Dim

import oracles
from exports import through_onnx
from layer_cases import CASES
from mmxattn.layers.group_norm import GroupNorm
from mmxattn.utils.tracing import ceil_div

EXAMPLE = (25, 31), (13, 16)
OTHERS = ((16, 16), (8, 8)), ((33, 20), (15, 19)), ((50, 61), (25, 31))
FAST = ('scsa', 'fine', 'cla')
SLOW = ('fine-released', 'cfsam', 'cla-patches')
NAMES = [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


def flat(maps):
    return torch.cat([torch.as_tensor(x).flatten() for x in maps])


@functools.cache
def exported(name):
    case = CASES[name]
    layer = case.build()
    sizes = [{0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC} for _ in case.channels]
    shapes = (sizes, ) if case.takes_list else tuple(sizes)
    return layer, torch.export.export(layer, case.args(case.maps(EXAMPLE)), dynamic_shapes=shapes)


def assert_agrees(case, layer, run):
    """Compare ``run``, a function of a list of maps, with the layer at other sizes and batches."""
    for batch, sizes in zip((3, 2, 2), OTHERS):
        maps = case.maps(sizes, batch)
        with torch.no_grad():
            error = oracles.relative_error(flat(run(maps)), flat(case.run(layer, maps)))
        assert error < 1e-5, (sizes, error)


# With patches, CLA's program has a guard on whether they divide the map (docs/deployment.md).
@pytest.mark.parametrize('name', NAMES[:-1])
def test_exported_program_at_other_sizes(name):
    case, (layer, program) = CASES[name], exported(name)
    module = program.module()
    assert_agrees(case, layer, lambda maps: case.run(module, maps))


@pytest.mark.parametrize('name', NAMES)
def test_onnx_at_other_sizes(name):
    case, (layer, program) = CASES[name], exported(name)
    run = through_onnx(program)
    assert_agrees(case, layer, lambda maps: run(*maps))


@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning', 'ignore:.*torch.jit:DeprecationWarning')
def test_trace_at_its_size(case):
    layer = case.build()
    traced = torch.jit.trace(layer, case.args(case.maps(EXAMPLE)), check_trace=False)
    for batch in (2, 3):
        maps = case.maps(EXAMPLE, batch, seed=5)
        assert oracles.relative_error(flat(case.run(traced, maps)), flat(case.run(layer, maps))) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize('name', ['scsa', 'cfsam'])
def test_inductor_at_other_sizes(name):
    torch._dynamo.reset()
    case = CASES[name]
    layer = case.build()
    compiled = torch.compile(layer, dynamic=True, fullgraph=True)
    try:
        assert_agrees(case, layer, lambda maps: case.run(compiled, maps))
    except torch._inductor.exc.InductorError as error:
        if 'InvalidCxxCompiler' not in str(error):
            raise
        pytest.skip('no C++ compiler')


@pytest.mark.parametrize('groups, shape', [(1, (2, 8, 5, 7)), (4, (2, 8, 9)), (8, (1, 8, 1, 3))])
def test_exported_group_norm_equals_group_norm(groups, shape):
    torch.manual_seed(0)
    norm = GroupNorm(groups, 8)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(shape) * 3 + 5
    assert torch.allclose(norm.forward_elementary(x), norm(x), atol=1e-5)
    assert torch.equal(norm(x), torch.nn.GroupNorm.forward(norm, x))
    large = (x * 1000).half()
    assert norm.forward_elementary(large).dtype == torch.float16 and norm.forward_elementary(large).isfinite().all()


def test_ceil_div():
    assert [ceil_div(a, 4) for a in range(9)] == [0, 1, 1, 1, 1, 2, 2, 2, 2]
