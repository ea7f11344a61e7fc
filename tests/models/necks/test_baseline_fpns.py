import pytest
import torch
from deform_oracle import ReferenceDeformConv
from mmdet.models.necks import FPN

import mmxattn.models as models
from mmxattn.layers.baselines import FaPNAlignment

CHANNELS = [8, 16, 32, 64]
NECKS = [
    (models.AlignedFPN, dict(align_cfg=dict(type='SNI'))),
    (models.AlignedFPN, dict(align_cfg=dict(type='FaPNAlignment', deform_groups=2))),
    (models.AlignedFPN, dict(align_cfg=dict(type='AdaFPNAlignment'))),
    (models.FaPN, dict()),
    (models.MGCFPN, dict()),
]


def inputs():
    torch.manual_seed(0)
    return tuple(torch.randn(2, c, h, 2 * h) for c, h in zip(CHANNELS, (33, 17, 9, 5)))


@pytest.mark.parametrize('kind, arguments', NECKS, ids=str)
def test_outputs_have_the_shapes_of_fpn_and_parameters_get_gradients(kind, arguments):
    torch.manual_seed(1)
    neck = kind(CHANNELS, 16, num_outs=5, **arguments)
    neck.init_weights()
    outs = neck(inputs())
    assert [x.shape for x in outs] == [x.shape for x in FPN(CHANNELS, 16, num_outs=5)(inputs())]
    sum(x.pow(2).sum() for x in outs).backward()
    without = [name for name, p in neck.named_parameters() if not p.grad.any()]
    assert all('.compare.' in name for name in without)  # the offsets of FaPN start at zero


def test_sni_adds_a_quarter_of_the_high_map():
    fpn, ours = FPN(CHANNELS, 16, num_outs=4), models.AlignedFPN(CHANNELS, 16, num_outs=4, align_cfg=dict(type='SNI'))
    ours.load_state_dict(fpn.state_dict())
    torch.manual_seed(0)
    maps = tuple(torch.randn(1, c, h, h) for c, h in zip(CHANNELS, (32, 16, 8, 4)))
    c2, c3, c4, c5 = [conv(x) for conv, x in zip(fpn.lateral_convs, maps)]
    for low in (c4, c3, c2):
        c5 = low + torch.nn.functional.interpolate(c5, scale_factor=2) / 4
    assert torch.allclose(ours(maps)[0], fpn.fpn_convs[0](c5), atol=1e-6)


def test_fapn_replaces_the_lateral_convs_except_the_top_one():
    neck = models.FaPN(CHANNELS, 16, num_outs=5, start_level=1, add_extra_convs='on_output')
    assert [conv.importance.in_channels for conv in neck.lateral_convs[:-1]] == CHANNELS[1:-1]
    assert type(neck.lateral_convs[-1]).__name__ == 'ConvModule'
    assert len(neck.aligners) == 2 and len(neck(inputs())) == 5


@pytest.mark.parametrize('name, weight', [('FaPNAlignment', 'offsets'), ('AdaFPNAlignment', 'upsampling.predict')])
def test_init_weights_keeps_zero_offsets(name, weight):
    neck = models.AlignedFPN(CHANNELS, 16, num_outs=5, align_cfg=dict(type=name))
    neck.init_weights()
    for aligner in neck.aligners:
        assert not aligner.get_submodule(weight).weight.any()


def test_deformable_convolution_agrees_with_reference():
    """mmcv's operator against plain PyTorch, with random offsets and masks."""
    torch.manual_seed(0)
    ours = models.FaPNAlignment(8, deform_groups=2)
    theirs = FaPNAlignment(8, deform_conv=ReferenceDeformConv, deform_groups=2)
    torch.nn.init.normal_(ours.offsets.weight, std=0.2)
    theirs.load_state_dict(ours.state_dict())
    low, high = torch.randn(2, 8, 9, 7), torch.randn(2, 8, 5, 4)
    assert torch.allclose(ours(low, high)[1], theirs(low, high)[1], atol=1e-5)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_is_accurate(dtype):
    """mmcv's operator does not support bfloat16 and runs in float32."""
    torch.manual_seed(0)
    aligner = models.FaPNAlignment(16)
    low, high = torch.randn(1, 16, 8, 8), torch.randn(1, 16, 4, 4)
    right = aligner(low, high)
    with torch.autocast('cpu', dtype=dtype):
        outs = aligner(low, high)
    for a, b in zip(outs, right):
        assert (a - b).norm() / b.norm() < 8 * torch.finfo(dtype).eps
    sum(x.float().pow(2).sum() for x in outs).backward()
    assert all(p.grad.isfinite().all() for p in aligner.parameters())


def test_mgc_fpn_is_fpn_if_the_context_is_zero():
    fpn, ours = FPN(CHANNELS, 16, num_outs=5), models.MGCFPN(CHANNELS, 16, num_outs=5)
    missing, unexpected = ours.load_state_dict(fpn.state_dict(), strict=False)
    assert not unexpected and all(key.startswith('mgc.') for key in missing)
    for out in ours.mgc.out:
        torch.nn.init.zeros_(out.weight)
        torch.nn.init.zeros_(out.bias)
    assert all(torch.equal(a, b) for a, b in zip(ours(inputs()), fpn(inputs())))
