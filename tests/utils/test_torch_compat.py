"""Replacements for features that PyTorch 2.1 lacks. CONTRIBUTING.md describes how to test on PyTorch 2.1 itself."""
import runpy

import pytest
import torch
from torch import nn

from mmxattn.utils import torch_compat
from mmxattn.utils.torch_compat import PlainRMSNorm


@pytest.fixture
def compat_of_torch_21(monkeypatch):
    """Names of torch_compat.py without the PyTorch functions that 2.1 lacks."""
    with monkeypatch.context() as patch:
        patch.delattr(nn, 'RMSNorm', raising=False)
        patch.delattr(torch.compiler, 'is_compiling', raising=False)
        patch.delattr(torch, 'get_autocast_dtype', raising=False)
        return runpy.run_path(torch_compat.__file__)


@pytest.mark.skipif(not hasattr(nn, 'RMSNorm'), reason='needs PyTorch 2.4')
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_plain_rms_norm_matches_pytorch(dtype):
    torch.manual_seed(0)
    plain, expected = PlainRMSNorm(16).to(dtype), nn.RMSNorm(16).to(dtype)
    nn.init.normal_(plain.weight)
    expected.load_state_dict(plain.state_dict())
    x = (3 * torch.randn(2, 5, 16)).to(dtype)
    results = []
    for norm in (plain, expected):
        leaf = x.clone().requires_grad_()
        y = norm(leaf)
        y.backward(torch.ones_like(y))
        results.append((y, leaf.grad, norm.weight.grad))
    for out, right in zip(*results):
        torch.testing.assert_close(out, right)


def test_replacements_are_used(compat_of_torch_21):
    assert compat_of_torch_21['RMSNorm'].__name__ == 'PlainRMSNorm'
    assert compat_of_torch_21['is_compiling']() is False


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.filterwarnings('ignore:.*autocast.* is deprecated:DeprecationWarning')
def test_autocast_dtype_is_that_of_the_device(compat_of_torch_21, dtype):
    for autocast_dtype in (torch_compat.autocast_dtype, compat_of_torch_21['autocast_dtype']):
        assert autocast_dtype('cpu') is None and autocast_dtype('cuda') is None
        with torch.autocast('cpu', dtype):
            assert autocast_dtype('cpu') == dtype and autocast_dtype('cuda') is None
