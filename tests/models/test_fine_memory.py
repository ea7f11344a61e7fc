"""What each attention of FINE's Table 3 holds at once in RT-DETR-R18's neck, above the neck without FINE."""
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
# attention: MB with the attention map written out, MB with PyTorch's fused attention (the README's figures)
MEASURED = {'vanilla': (1454.7, 6.6), 'window': (68.8, 26.1), 'area': (72.3, 6.6), 'linear': (6.6, 6.6),
            'AATS': (6.6, 6.6)}


@functools.cache
def peak(file, backend):
    """MB that the neck's tensors take at the worst moment of a forward pass at 640x640."""
    init_default_scope('mmdet')
    neck = MODELS.build(Config.fromfile(RECIPES / file).model.neck).eval()
    maps = [torch.randn(1, channels, 640 // stride, 640 // stride)
            for channels, stride in ((128, 8), (256, 16), (512, 32))]
    with torch.no_grad(), sdpa_kernel(backend):
        return peak_memory(lambda: neck(maps), 'cpu') / 1e6


@pytest.mark.slow
@pytest.mark.parametrize('attention', MEASURED)
@pytest.mark.parametrize('backend', [SDPBackend.MATH, SDPBackend.FLASH_ATTENTION], ids=['plain', 'fused'])
def test_memory_is_what_the_readme_says(attention, backend):
    name = '' if attention == 'AATS' else f'-{attention}'
    file = f'{"ablations/" if name else ""}rtdetr_r18vd_fine{name}_8xb2-12e_coco.py'
    added = peak(file, backend) - peak('rtdetr_r18vd_8xb2-12e_coco.py', backend)
    assert added == pytest.approx(MEASURED[attention][backend is SDPBackend.FLASH_ATTENTION], rel=0.1)


def test_the_readme_has_these_figures():
    lines = (RECIPES / 'ablations' / 'README.md').read_text().splitlines()
    for attention, (plain, fused) in MEASURED.items():
        assert any(f'| {attention} | +{plain} MB | +{fused} MB |' in line for line in lines)
