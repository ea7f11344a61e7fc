"""Peak memory of the attentions in FINE's Table 3 in the neck of RT-DETR-R18, above the neck without FINE."""
import functools

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.nn.attention import SDPBackend, sdpa_kernel

import recipes
from mmxattn.profiling.memory import peak_memory
from mmxattn.registry import MODELS

RECIPES = recipes.CONFIGS / 'rtdetr'
# attention: MB with an explicit attention map, MB with PyTorch's fused attention
MEASURED = {'vanilla': (1454.7, 9.8), 'window': (68.8, 29.6), 'area': (72.3, 9.8), 'linear': (9.8, 9.8),
            'AATS': (6.6, 6.6)}


@functools.cache
def peak(file, backend):
    """Peak memory in MB of a forward pass of the neck at 640x640."""
    init_default_scope('mmdet')
    neck = MODELS.build(Config.fromfile(RECIPES / file).model.neck).eval()
    maps = [torch.randn(1, channels, 640 // stride, 640 // stride)
            for channels, stride in ((128, 8), (256, 16), (512, 32))]
    with torch.no_grad(), sdpa_kernel(backend):
        return peak_memory(lambda: neck(maps), 'cpu') / 1e6


@pytest.mark.slow
@pytest.mark.parametrize('attention', MEASURED)
@pytest.mark.parametrize('backend', [SDPBackend.MATH, SDPBackend.FLASH_ATTENTION], ids=['plain', 'fused'])
def test_peak_memory_is_as_documented(attention, backend):
    name = '' if attention == 'AATS' else f'-{attention}'
    file = f'{"ablations/" if name else ""}rtdetr_r18vd_fine{name}_8xb2-12e_coco.py'
    added = peak(file, backend) - peak('rtdetr_r18vd_8xb2-12e_coco.py', backend)
    assert added == pytest.approx(MEASURED[attention][backend is SDPBackend.FLASH_ATTENTION], rel=0.1)
