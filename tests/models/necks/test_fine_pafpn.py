"""FINE in the necks with a bottom-up pathway: PAFPN, YOLOX's and RTMDet's."""
import pytest
import torch
from mmdet.models.necks import PAFPN, YOLOXPAFPN, CSPNeXtPAFPN

from mmxattn.models import FINEPAFPN, FINEYOLOXPAFPN, FINECSPNeXtPAFPN

HOSTS = [(FINEPAFPN, PAFPN), (FINEYOLOXPAFPN, YOLOXPAFPN), (FINECSPNeXtPAFPN, CSPNeXtPAFPN)]
CHANNELS = [16, 32, 64]


def arguments(stock):
    return dict(num_outs=5, add_extra_convs='on_output', relu_before_extra_convs=True) if stock is PAFPN else {}


def necks(ours, stock, **more):
    torch.manual_seed(1)
    stock = stock(CHANNELS, 32, **arguments(stock))
    ours = ours(CHANNELS, 32, **arguments(type(stock)), **more)
    missing, unexpected = ours.load_state_dict(stock.state_dict(), strict=False)
    assert not unexpected and all(key.startswith('fine.') for key in missing)
    return ours.eval(), stock.eval()


def inputs(odd=False):
    torch.manual_seed(0)
    heights = (17, 9, 5) if odd else (16, 8, 4)
    return tuple(torch.randn(2, c, h, h)
                 for c, h in zip(CHANNELS, heights))


@pytest.mark.parametrize('ours, stock', HOSTS)
@pytest.mark.parametrize('off', [dict(kernel_sizes=()), dict(zero_init=True)], ids=str)
def test_is_the_stock_neck_without_fine(ours, stock, off):
    ours, stock = necks(ours, stock, **off)
    outs, expected = ours(inputs()), stock(inputs())
    assert len(outs) == len(expected) and all(torch.equal(a, b) for a, b in zip(outs, expected))


@pytest.mark.parametrize('ours, stock', HOSTS)
def test_every_parameter_gets_a_gradient(ours, stock):
    ours, _ = necks(ours, stock)
    ours.train()
    assert [fine.kernel_size for fine in ours.fine] == [1, 2]
    sum(x.pow(2).sum() for x in ours(inputs())).backward()
    assert all(p.grad is not None and p.grad.any() for p in ours.parameters())


@pytest.mark.parametrize('ours, stock', HOSTS)
def test_maps_of_odd_size_keep_their_size(ours, stock):
    ours, _ = necks(ours, stock)
    assert [x.shape[2:] for x in ours(inputs(odd=True))[:3]] == [x.shape[2:] for x in inputs(odd=True)]


@pytest.mark.parametrize('extra', [False, 'on_input', 'on_lateral', 'on_output'])
def test_pafpn_adds_all_kinds_of_extra_levels(extra):
    fpn, ours = (kind(CHANNELS, 32, num_outs=5, add_extra_convs=extra) for kind in (PAFPN, FINEPAFPN))
    ours.load_state_dict(fpn.state_dict(), strict=False)
    ours.fine = torch.nn.ModuleList()
    assert all(torch.equal(a, b) for a, b in zip(ours(inputs()), fpn(inputs())))


def test_fine_gets_the_high_map_after_the_reduce_layer():
    ours, stock = necks(FINEYOLOXPAFPN, YOLOXPAFPN)
    p3, p4, p5 = inputs()
    high = ours.reduce_layers[0](p5)
    p4 = ours.top_down_blocks[0](torch.cat((ours.upsample(high), ours.fine[0](p4, high)), 1))
    high = ours.reduce_layers[1](p4)
    p3 = ours.top_down_blocks[1](torch.cat((ours.upsample(high), ours.fine[1](p3, high)), 1))
    assert torch.allclose(ours(inputs())[0], ours.out_convs[0](p3), atol=1e-6)


@pytest.mark.parametrize('kind', [FINEYOLOXPAFPN, FINECSPNeXtPAFPN])
def test_parameters_in_yolox_s_and_rtmdet_s(kind):
    fine = kind([128, 256, 512], 128, num_csp_blocks=1).fine
    assert sum(p.numel() for p in fine.parameters()) == 659_584
