"""The code and the figures of docs/yolov8.md."""
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from mmxattn.profiling.complexity import count_macs

PAGE = Path(__file__).parents[2] / 'docs' / 'yolov8.md'
WIDTHS = (128, 256, 512)  # YOLOv8-S


class PlainNeck(nn.Module):
    """The modules of mmyolo's YOLOv8PAFPN, with a 1x1 convolution in place of each CSP layer."""

    def __init__(self, c3, c4, c5):
        super().__init__()
        self.reduce_layers = nn.ModuleList(nn.Identity() for _ in range(3))
        self.upsample_layers = nn.ModuleList(nn.Upsample(scale_factor=2) for _ in range(2))
        self.top_down_layers = nn.ModuleList([nn.Conv2d(c5 + c4, c4, 1), nn.Conv2d(c4 + c3, c3, 1)])
        self.downsample_layers = nn.ModuleList(nn.Conv2d(c, c, 3, stride=2, padding=1) for c in (c3, c4))
        self.bottom_up_layers = nn.ModuleList([nn.Conv2d(c3 + c4, c4, 1), nn.Conv2d(c4 + c5, c5, 1)])
        self.out_layers = nn.ModuleList(nn.Identity() for _ in range(3))


def build(**fine_cfg):
    code = re.search(r'```python\n(.*?)```', PAGE.read_text(), re.S).group(1)
    names = {}
    exec(compile(code, PAGE.name, 'exec'), names)
    torch.manual_seed(0)
    neck = type('Neck', (names['FINEFusion'], PlainNeck), {})(*WIDTHS)
    neck.add_fine(*WIDTHS, **fine_cfg)
    return neck


def inputs(sides=(16, 8, 4)):
    torch.manual_seed(0)
    return [torch.randn(2, c, n, n) for c, n in zip(WIDTHS, sides)]


def test_forward_matches_step_by_step_computation():
    neck = build()
    p3, p4, p5 = inputs()
    p4 = neck.top_down_layers[0](torch.cat((neck.upsample_layers[0](p5), neck.fine[0](p4, p5)), 1))
    p3 = neck.top_down_layers[1](torch.cat((neck.upsample_layers[1](p4), neck.fine[1](p3, p4)), 1))
    p4 = neck.bottom_up_layers[0](torch.cat((neck.downsample_layers[0](p3), p4), 1))
    p5 = neck.bottom_up_layers[1](torch.cat((neck.downsample_layers[1](p4), p5), 1))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(neck(inputs()), (p3, p4, p5)))


def test_every_parameter_gets_a_gradient():
    neck = build()
    sum(x.pow(2).sum() for x in neck(inputs())).backward()
    assert all(p.grad is not None and p.grad.any() for p in neck.parameters())


def test_zero_init_equals_neck_without_fine():
    neck, plain = build(zero_init=True), build()
    plain.load_state_dict({k: v for k, v in neck.state_dict().items() if not k.endswith('.scale')})
    plain.fine = nn.ModuleList(nn.Identity() for _ in range(2))
    for fine in plain.fine:
        fine.forward = lambda low, high: low
    assert all(torch.equal(a, b) for a, b in zip(neck(inputs()), plain(inputs())))


@pytest.mark.parametrize('fine_cfg, parameters, gflops', [
    (dict(), 823_808, 0.980),
    (dict(ffn_ratio=4, attention='linear'), 1_152_288, 1.006),  # published: +1.1M, +1.0 G
])
def test_costs_on_page(fine_cfg, parameters, gflops):
    neck = build(**fine_cfg)
    assert sum(p.numel() for p in neck.fine.parameters()) == parameters
    assert f'{parameters:,}' in PAGE.read_text() and f'{gflops:.3f} G' in PAGE.read_text()
    p3, p4, p5 = (torch.zeros(1, c, n, n) for c, n in zip(WIDTHS, (80, 40, 20)))
    macs = count_macs(lambda: (neck.fine[0](p4, p5), neck.fine[1](p3, p4)))
    assert 2 * macs / 1e9 == pytest.approx(gflops, abs=5e-4)
