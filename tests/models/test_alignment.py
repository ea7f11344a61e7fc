import pytest
import torch
from mmdet.models.necks import FPN
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope
from torch import nn

from mmxattn.layers import FINE
from mmxattn.models import FINEFPN, AlignedFPN
from mmxattn.models.necks.alignment import align, build_aligners
from mmxattn.registry import MODELS

CHANNELS = [8, 16, 32, 64]


class Both(nn.Module):
    """An aligner that brings the high map onto the low grid itself, at its own scale."""

    def __init__(self, channels, high_channels, factor=1):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(float(factor)))

    def forward(self, low, high):
        return 2 * low, self.factor * nn.functional.interpolate(high, size=low.shape[2:])


def upsample(high, low):
    return nn.functional.interpolate(high, size=low.shape[2:])


def inputs():
    torch.manual_seed(0)
    return tuple(torch.randn(2, c, h, 2 * h) for c, h in zip(CHANNELS, (33, 17, 9, 5)))


def test_one_cfg_serves_every_fusion_and_a_list_the_upper_ones():
    pairs = [(16, 32), (16, 16), (16, 16)]
    assert len(build_aligners(dict(type=Both), pairs, 'Neck')) == 3
    fines = build_aligners([dict(type='FINE', kernel_size=1), dict(type=FINE, kernel_size=2)], pairs, 'Neck')
    assert [(fine.kernel_size, fine.high_channels) for fine in fines] == [(1, 32), (2, 16)]
    assert len(build_aligners((), pairs, 'Neck')) == 0


def test_a_fusion_gets_both_maps_on_the_low_grid():
    low, high = torch.randn(1, 16, 9, 7), torch.randn(1, 16, 5, 4)
    aligners = build_aligners([dict(type=FINE), dict(type=Both, factor=3)], [(16, 16)] * 2, 'Neck')
    found = align(aligners, 0, low, high, upsample)
    assert torch.equal(found[0], aligners[0](low, high)) and torch.equal(found[1], upsample(high, low))
    found = align(aligners, 1, low, high, upsample)
    assert torch.equal(found[0], 2 * low) and torch.equal(found[1], 3 * upsample(high, low))
    found = align(aligners, 2, low, high, upsample)
    assert found[0] is low and torch.equal(found[1], upsample(high, low))


def test_aligned_fpn_is_fpn_without_aligners_and_fine_fpn_with_fine():
    torch.manual_seed(1)
    fpn = FPN(CHANNELS, 16, num_outs=5)
    plain = AlignedFPN(CHANNELS, 16, num_outs=5)
    plain.load_state_dict(fpn.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(plain(inputs()), fpn(inputs())))
    fine = FINEFPN(CHANNELS, 16, num_outs=5)
    ours = AlignedFPN(CHANNELS, 16, num_outs=5, align_cfg=[dict(type='FINE'), dict(type='FINE', kernel_size=2)])
    ours.load_state_dict({k.replace('fine.', 'aligners.'): v for k, v in fine.state_dict().items()})
    assert all(torch.equal(a, b) for a, b in zip(ours(inputs()), fine(inputs())))


@pytest.mark.parametrize('training', [False, True])
def test_maps_of_an_aligner_and_of_the_layers_before_are_not_overwritten(training):
    neck, kept = AlignedFPN(CHANNELS, 16, num_outs=4, align_cfg=[dict(type=Both)]), []
    for module in (*neck.aligners, *neck.lateral_convs):
        module.register_forward_hook(lambda module, given, out: kept.extend(
            (x, x.clone()) for x in (out if isinstance(out, tuple) else (out, ))))
    with torch.set_grad_enabled(training):
        neck(inputs())
    assert len(kept) == 2 + 4 and all(torch.equal(x, copy) for x, copy in kept)


@pytest.mark.parametrize('training', [False, True])
def test_levels_are_added_up_in_place(training, monkeypatch):
    """In the memory of the upsampled map, so that a level makes one map and not two."""
    neck, upsampled, added_up = AlignedFPN(CHANNELS, 16, num_outs=4), [], []
    interpolate = nn.functional.interpolate
    monkeypatch.setattr(nn.functional, 'interpolate',
                        lambda *args, **kwargs: (upsampled.append(interpolate(*args, **kwargs)), upsampled[-1])[1])
    for conv in neck.fpn_convs[:3]:
        conv.register_forward_pre_hook(lambda module, given: added_up.append(given[0]))
    with torch.set_grad_enabled(training):
        neck(inputs())
    assert len(upsampled) == 3 and all(any(x is y for y in upsampled) for x in added_up)


def test_every_parameter_of_an_aligner_learns():
    neck = AlignedFPN(CHANNELS, 16, num_outs=5, align_cfg=dict(type=Both))
    sum(x.sum() for x in neck(inputs())).backward()
    assert len(neck.aligners) == 3 and all(p.grad.any() for p in neck.parameters())


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg', 'mmengine'])
@pytest.mark.parametrize('name', ['FINE', 'SNI', 'FaPNAlignment', 'AdaFPNAlignment', 'AlignedFPN', 'FaPN', 'MGCFPN',
                                  'FINEPAFPN', 'FINEYOLOXPAFPN', 'FINECSPNeXtPAFPN'])
def test_found_by_name_under_any_default_scope(scope, name):
    with DefaultScope.overwrite_default_scope(scope):
        with ROOT.switch_scope_and_registry(None) as registry:
            assert registry.get(name) is MODELS.get(name) is not None


@pytest.mark.parametrize('align_cfg, message', [
    ([dict(type=Both)] * 4, 'AlignedFPN: align_cfg has 4 entries for 3 fusions'),
    (dict(type='Nobody'), "type='Nobody', which is not registered"),
    (dict(type='FINE', attention='cosine'), "attention='cosine'"),
])
def test_wrong_arguments_are_named(align_cfg, message):
    with pytest.raises(ValueError, match=message):
        AlignedFPN(CHANNELS, 16, num_outs=5, align_cfg=align_cfg)
