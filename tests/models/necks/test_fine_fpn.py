import pytest
import torch
from mmdet.models.necks import FPN
from mmengine.runner import load_state_dict
from mmseg.models.necks import FPN as SegFPN

from mmxattn.models import FINEFPN

CHANNELS = [8, 16, 32, 64]
# Options of FPN. The sizes of the levels are not multiples of each other.
SETTINGS = [
    dict(num_outs=4),
    dict(num_outs=5),
    dict(num_outs=5, start_level=1, add_extra_convs='on_input'),
    dict(num_outs=5, start_level=1, add_extra_convs='on_output', relu_before_extra_convs=True),
    dict(num_outs=6, start_level=1, add_extra_convs='on_lateral'),
    dict(num_outs=5, start_level=1, add_extra_convs=True),
    dict(num_outs=2, start_level=1, end_level=2),
    dict(num_outs=4, norm_cfg=dict(type='BN'), act_cfg=dict(type='ReLU'), no_norm_on_lateral=True),
    dict(num_outs=4, upsample_cfg=dict(mode='bilinear', align_corners=True)),
    dict(num_outs=4, upsample_cfg=dict(scale_factor=2, mode='nearest')),
]


def inputs(even=False):
    torch.manual_seed(0)
    heights = (32, 16, 8, 4) if even else (33, 17, 9, 5)
    return tuple(torch.randn(2, c, h, 2 * h) for c, h in zip(CHANNELS, heights))


def neck(kind=FINEFPN, settings=None, **more):
    torch.manual_seed(1)
    return kind(CHANNELS, 32, **{**(settings or dict(num_outs=5)), **more})


def gradients_of(outs, given):
    """Gradients of a weighted sum with respect to the inputs that the neck uses."""
    loss = sum((x * torch.linspace(-1, 1, x.numel()).view_as(x)).sum() for x in outs)
    return [x for x in torch.autograd.grad(loss, given, allow_unused=True) if x is not None]


@pytest.mark.parametrize('settings', SETTINGS, ids=str)
def test_is_fpn_without_fine(settings):
    """Without aligned fusions and with zero_init, for all options of FPN."""
    fpn = neck(FPN, settings)
    given = [x.requires_grad_() for x in inputs('scale_factor' in settings.get('upsample_cfg', {}))]
    expected = fpn(given)
    gradients = gradients_of(expected, given)
    for ours in (neck(settings=settings, kernel_sizes=()), neck(settings=settings, zero_init=True)):
        missing, unexpected = ours.load_state_dict(fpn.state_dict(), strict=False)
        assert not unexpected and all(key.startswith('fine.') for key in missing)
        outs = ours(given)
        assert len(outs) == settings['num_outs']
        assert all(torch.equal(x, y) for x, y in zip(outs, expected))
        assert all(torch.allclose(x, y, atol=1e-6) for x, y in zip(gradients_of(outs, given), gradients, strict=True))
        with torch.no_grad():
            outs = ours(given)
        assert all(torch.equal(x, y) for x, y in zip(outs, expected))


def test_only_the_upper_fusions_are_aligned():
    ours, fpn = neck(), neck(FPN)
    fpn.load_state_dict({k: v for k, v in ours.state_dict().items() if not k.startswith('fine.')})
    assert [fine.kernel_size for fine in ours.fine] == [1, 2]
    c2, c3, c4, c5 = [conv(x) for conv, x in zip(ours.lateral_convs, inputs())]
    p5 = c5
    p4 = ours.fine[0](c4, p5) + torch.nn.functional.interpolate(p5, size=c4.shape[2:])
    p3 = ours.fine[1](c3, p4) + torch.nn.functional.interpolate(p4, size=c3.shape[2:])
    p2 = c2 + torch.nn.functional.interpolate(p3, size=c2.shape[2:])
    for conv, x, out in zip(ours.fpn_convs, (p2, p3, p4, p5), ours(inputs())):
        assert torch.allclose(conv(x), out)


def test_fine_cfg_reaches_the_layers():
    ours = neck(fine_cfg=dict(ffn_ratio=0, num_heads=4))
    assert all(fine.num_heads == 4 and not fine.has_ffn for fine in ours.fine)


def test_every_parameter_gets_a_gradient():
    ours = neck()
    sum(x.sum() for x in ours(inputs())).backward()
    assert all(p.grad is not None and p.grad.any() for name, p in ours.named_parameters())


def test_checkpoint_of_fpn_loads(capsys):
    ours = neck()
    load_state_dict(ours, neck(FPN).state_dict(), strict=False)
    printed = capsys.readouterr().out
    assert 'unexpected' not in printed





@pytest.mark.parametrize('settings', [
    dict(start_level=1, end_level=2, num_outs=3),
    dict(start_level=1, num_outs=2),
    dict(start_level=1, end_level=4, num_outs=2),
    dict(start_level=1, end_level=3, num_outs=1),
    dict(start_level=1, add_extra_convs='on_xxx', num_outs=5),
], ids=str)
def test_arguments_that_fpn_rejects_are_rejected(settings):
    for kind in (FPN, FINEFPN):
        with pytest.raises(AssertionError):
            kind(CHANNELS, 8, **settings)


@pytest.mark.parametrize('num_outs, end_level, fusions', [(5, -1, 2), (2, 1, 1), (1, 0, 0)])
def test_number_of_fusions_follows_the_levels(num_outs, end_level, fusions):
    ours = FINEFPN(CHANNELS, 8, num_outs=num_outs, end_level=end_level)
    assert len(ours.fine) == fusions
    assert len(ours(inputs())) == num_outs


def test_is_mmsegs_fpn_with_zero_init():
    """Semantic FPN uses mmseg's own FPN."""
    theirs = SegFPN(in_channels=CHANNELS, out_channels=32, num_outs=4)
    ours = neck(settings=dict(num_outs=4), zero_init=True)
    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert not unexpected and all(key.startswith('fine.') for key in missing)
    assert all(torch.equal(x, y) for x, y in zip(ours(inputs()), theirs(inputs())))


def test_parameters_in_semantic_and_panoptic_fpn():
    """Table 7: +1.6M for both, with a 4C FFN and linear attention."""
    ours = FINEFPN([256, 512, 1024, 2048], 256, num_outs=4, fine_cfg=dict(ffn_ratio=4, attention='linear'))
    assert sum(p.numel() for p in ours.fine.parameters()) == 1_579_552
