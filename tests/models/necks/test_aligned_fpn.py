import pytest
import torch
from mmdet.models.necks import FPN
from torch import nn

from mmxattn.layers import FINE
from mmxattn.models import FINEFPN, AlignedFPN
from mmxattn.models.necks.alignment import align, build_aligners

CHANNELS = [8, 16, 32, 64]


class Upsample(nn.Module):
    """Aligner that upsamples the high map itself, with a learned factor."""

    def __init__(self, channels, high_channels, factor=1):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(float(factor)))

    def forward(self, low, high):
        return 2 * low, self.factor * upsample(high, low)


def upsample(high, low):
    return nn.functional.interpolate(high, size=low.shape[2:])


def inputs():
    torch.manual_seed(0)
    return tuple(torch.randn(2, c, h, 2 * h) for c, h in zip(CHANNELS, (33, 17, 9, 5)))


def test_one_config_is_for_all_fusions_and_a_list_from_the_top():
    channels = [(16, 32), (16, 16), (16, 16)]
    assert len(build_aligners(dict(type=Upsample), channels)) == 3
    fines = build_aligners([dict(type='FINE', kernel_size=1), dict(type=FINE, kernel_size=2)], channels)
    assert [(fine.kernel_size, fine.high_channels) for fine in fines] == [(1, 32), (2, 16)]
    assert len(build_aligners((), channels)) == 0


def test_align_returns_both_maps_at_the_low_size():
    low, high = torch.randn(1, 16, 9, 7), torch.randn(1, 16, 5, 4)
    aligners = build_aligners([dict(type=FINE), dict(type=Upsample, factor=3)], [(16, 16)] * 2)
    expected = [(aligners[0](low, high), upsample(high, low)), (2 * low, 3 * upsample(high, low)),
                (low, upsample(high, low))]
    for step, pair in enumerate(expected):
        found = align(aligners, step, low, high, upsample)
        assert all(torch.equal(a, b) for a, b in zip(found, pair))


def test_is_fpn_without_aligners():
    torch.manual_seed(1)
    fpn, ours = FPN(CHANNELS, 16, num_outs=5), AlignedFPN(CHANNELS, 16, num_outs=5)
    ours.load_state_dict(fpn.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(ours(inputs()), fpn(inputs())))


def test_is_fine_fpn_with_fine_as_aligner():
    fine = FINEFPN(CHANNELS, 16, num_outs=5)
    ours = AlignedFPN(CHANNELS, 16, num_outs=5, align_cfg=[dict(type='FINE'), dict(type='FINE', kernel_size=2)])
    ours.load_state_dict({k.replace('fine.', 'aligners.'): v for k, v in fine.state_dict().items()})
    assert all(torch.equal(a, b) for a, b in zip(ours(inputs()), fine(inputs())))


@pytest.mark.parametrize('training', [False, True])
def test_outputs_of_aligners_and_lateral_convs_are_not_overwritten(training):
    neck, outputs = AlignedFPN(CHANNELS, 16, num_outs=4, align_cfg=[dict(type=Upsample)]), []
    for module in (*neck.aligners, *neck.lateral_convs):
        module.register_forward_hook(lambda module, args, out: outputs.extend(
            (x, x.clone()) for x in (out if isinstance(out, tuple) else (out, ))))
    with torch.set_grad_enabled(training):
        neck(inputs())
    assert len(outputs) == 2 + 4 and all(torch.equal(x, copy) for x, copy in outputs)


def test_every_parameter_gets_a_gradient():
    neck = AlignedFPN(CHANNELS, 16, num_outs=5, align_cfg=dict(type=Upsample))
    sum(x.sum() for x in neck(inputs())).backward()
    assert len(neck.aligners) == 3 and all(p.grad.any() for p in neck.parameters())
