"""Where SCSA takes the form without PyTorch's operators."""
import pytest

from mmxattn.layers import SCSA


@pytest.mark.parametrize('arguments', [
    dict(spatial=False), dict(channel=False), dict(channel_first=True), dict(shared=False), dict(norm='BN'),
    dict(norm='LN'), dict(norm=None), dict(norm_first=True), dict(num_heads=2), dict(scale='pixels')
])
def test_ablations_have_no_kernels(arguments):
    assert SCSA(8).as_published and not SCSA(8, **arguments).as_published
