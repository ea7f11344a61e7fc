"""The oldest PyTorch that the layers are written for is 2.1: what they use beyond it has a stand-in."""
import ast
import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

from mmxattn.layers import FINE
from mmxattn.utils.torch_compat import PlainRMSNorm

PACKAGE = Path(__file__).parents[2] / 'mmxattn'
# Names of torch, nn and F that a later version than 2.1 brought, as its documentation has them.
LATER = {
    'nn.RMSNorm': '2.4', 'F.rms_norm': '2.4', 'nn.attention': '2.2', 'torch.nn.attention': '2.2',
    'torch.compiler.is_compiling': '2.3', 'torch.compiler.is_dynamo_compiling': '2.3',
    'torch.compiler.is_exporting': '2.7', 'torch.compiler.set_stance': '2.6', 'torch.get_default_device': '2.3',
    'torch.get_device_module': '2.4', 'torch.amp.GradScaler': '2.3', 'torch.amp.custom_fwd': '2.4',
    'torch.amp.custom_bwd': '2.4', 'torch.library.custom_op': '2.4', 'torch.library.register_fake': '2.4',
    'torch.library.triton_op': '2.6', 'torch.serialization.safe_globals': '2.5', 'torch.accelerator': '2.6',
    'torch.get_autocast_dtype': '2.4', 'torch.amp.is_autocast_available': '2.4',
    'torch.serialization.add_safe_globals': '2.4', 'torch.mtia': '2.3', 'torch.xpu': '2.4',
    'torch.export.draft_export': '2.7',
}


def dotted(node):
    """``torch.compiler.is_compiling`` of the syntax for it; '' of anything else."""
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value)
        return owner and f'{owner}.{node.attr}'
    return node.id if isinstance(node, ast.Name) else ''


def later_names(source):
    """What ``source`` names of LATER, as an attribute or in an import."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        names.add(dotted(node))
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f'{node.module}.{alias.name}' for alias in node.names)}
    return names & LATER.keys()


@pytest.mark.parametrize('path', sorted([*(PACKAGE / 'layers').rglob('*.py'), *(PACKAGE / 'models').rglob('*.py')]),
                         ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_layers_and_models_name_nothing_that_came_after_torch_2_1(path):
    stood_in = {'torch.compiler.is_compiling', 'torch.get_autocast_dtype', 'torch.amp.is_autocast_available'}
    expected = stood_in if path.name == 'older_torch.py' else set()
    assert later_names(path.read_text()) == expected


def test_the_search_finds_attributes_and_imports():
    assert later_names('y = nn.RMSNorm(4)(x)') == {'nn.RMSNorm'}
    assert later_names('from torch.nn.attention import sdpa_kernel') == {'torch.nn.attention'}


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_plain_rms_norm_is_pytorchs(dtype):
    if not hasattr(nn, 'RMSNorm'):
        pytest.skip('this PyTorch has none')
    torch.manual_seed(0)
    plain, theirs = PlainRMSNorm(16).to(dtype), nn.RMSNorm(16).to(dtype)
    nn.init.normal_(plain.weight)
    theirs.load_state_dict(plain.state_dict())  # the same keys
    x = (3 * torch.randn(2, 5, 16)).to(dtype)
    results = []
    for norm in (plain, theirs):
        leaf = x.clone().requires_grad_()
        y = norm(leaf)
        y.backward(torch.ones_like(y))
        results.append((y, leaf.grad, norm.weight.grad))
    for ours, their in zip(*results):
        torch.testing.assert_close(ours, their)


def test_the_layers_run_where_torch_has_neither(monkeypatch):
    """The file as PyTorch 2.1 and 2.2 see it, and FINE with what it then gives."""
    with monkeypatch.context() as older:
        older.delattr(nn, 'RMSNorm', raising=False)
        older.delattr(torch.compiler, 'is_compiling', raising=False)
        module = runpy.run_path(str(PACKAGE / 'layers' / 'older_torch.py'))
    assert module['RMSNorm'].__name__ == 'PlainRMSNorm' and module['is_compiling']() is False
    torch.manual_seed(0)
    layer = FINE(32, attention='linear').eval()
    low, high = torch.randn(1, 32, 12, 8), torch.randn(1, 32, 6, 4)
    expected = layer(low, high)
    layer.attn_norm = module['RMSNorm'](16)
    torch.testing.assert_close(layer(low, high), expected)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.filterwarnings('ignore:.*autocast.* is deprecated:DeprecationWarning')
def test_autocast_is_seen_where_torch_tells_of_it_by_device(monkeypatch, dtype):
    """The file as PyTorch 2.1 to 2.3 see it."""
    with monkeypatch.context() as older:
        older.delattr(torch, 'get_autocast_dtype', raising=False)
        autocast_dtype = runpy.run_path(str(PACKAGE / 'layers' / 'older_torch.py'))['autocast_dtype']
    assert autocast_dtype('cpu') is None and autocast_dtype('cuda') is None
    with torch.autocast('cpu', dtype):
        assert autocast_dtype('cpu') == dtype and autocast_dtype('cuda') is None
