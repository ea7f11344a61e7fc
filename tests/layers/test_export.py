"""Export of the layers: torch.export, ONNX through onnxruntime, TorchScript and torch.compile, for any batch and size.

What is exported at one size is run at others, odd ones and one that the parts of CFSAM divide among them.
"""
import functools

import pytest
import torch
from torch.export import Dim

import oracles
import parts
from exports import through_onnx
from mmxattn.layers.group_norm import GroupNorm
from mmxattn.utils.tracing import ceil_div

EXAMPLE = (25, 31), (13, 16)
OTHERS = ((16, 16), (8, 8)), ((33, 20), (15, 19)), ((50, 61), (25, 31))
QUICK = ('SCSA', 'FINE', 'CLA, narrow')
SLOW = ('FINE, first release', 'CFSAM', 'CLA, patches')
ALL = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


def flat(maps):
    return torch.cat([torch.as_tensor(x).flatten() for x in maps])


def dynamic_shapes(part):
    each = [{0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC} for _ in part.channels]
    return (each, ) if part.takes_list else tuple(each)


@functools.cache
def exported(name):
    part = parts.PARTS[name]
    call = part.build()
    example = part.inputs(part.maps(EXAMPLE))
    return call, torch.export.export(call.layer, example, dynamic_shapes=dynamic_shapes(part))


def agrees(part, call, run):
    """Whether ``run``, a function of a list of maps, gives at other sizes and batches what the layer gives."""
    for batch, sizes in zip((3, 2, 2), OTHERS):
        maps = part.maps(sizes, batch)
        with torch.no_grad():
            error = oracles.relative_error(flat(run(maps)), flat(call(maps)))
        assert error < 1e-5, (sizes, error)


# CLA's program holds a guard on whether its patches divide the map; docs/deployment.md says so
@pytest.mark.parametrize('name', ALL[:-1])
def test_an_exported_program_gives_the_same(name):
    part, (call, program) = parts.PARTS[name], exported(name)
    agrees(part, call, part.arguments(program.module()))


@pytest.mark.parametrize('name', ALL)
def test_onnx_gives_the_same_in_onnxruntime(name):
    part, (call, program) = parts.PARTS[name], exported(name)
    run = through_onnx(program)
    agrees(part, call, lambda maps: run(*maps))


@pytest.mark.parametrize('part', parts.PARTS.values(), ids=parts.PARTS)
@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning', 'ignore:.*torch.jit:DeprecationWarning')
def test_a_trace_gives_the_same_at_its_size(part):
    call = part.build()
    traced = torch.jit.trace(call.layer, part.inputs(part.maps(EXAMPLE)), check_trace=False)
    for batch in (2, 3):
        maps = part.maps(EXAMPLE, batch, seed=5)
        assert oracles.relative_error(flat(part.arguments(traced)(maps)), flat(call(maps))) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize('name', ['SCSA', 'CFSAM'])
def test_inductor_gives_the_same(name):
    """Through a C++ compiler; where there is none, test_backends.py still compiles each layer to one graph."""
    torch._dynamo.reset()
    part = parts.PARTS[name]
    call = part.build()
    try:
        agrees(part, call, part.arguments(torch.compile(call.layer, dynamic=True, fullgraph=True)))
    except torch._inductor.exc.InductorError as error:
        if 'InvalidCxxCompiler' not in str(error):
            raise
        pytest.skip('no C++ compiler')


@pytest.mark.parametrize('groups, shape', [(1, (2, 8, 5, 7)), (4, (2, 8, 9)), (8, (1, 8, 1, 3))])
def test_group_norm_written_out_is_group_norm(groups, shape):
    torch.manual_seed(0)
    norm = GroupNorm(groups, 8)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(shape) * 3 + 5
    assert torch.allclose(norm.written_out(x), norm(x), atol=1e-5)
    assert torch.equal(norm(x), torch.nn.GroupNorm.forward(norm, x))
    large = (x * 1000).half()
    assert norm.written_out(large).dtype == torch.float16 and norm.written_out(large).isfinite().all()


def test_division_rounds_up():
    assert [ceil_div(a, 4) for a in range(9)] == [0, 1, 1, 1, 1, 2, 2, 2, 2]
