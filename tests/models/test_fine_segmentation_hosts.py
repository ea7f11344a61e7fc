"""FINEFPN in Semantic FPN, mmseg's own; and what Table 7 counts of it."""
import torch
from mmseg.models.necks import FPN

from mmxattn.models import FINEFPN

CHANNELS = [8, 16, 32, 64]


def inputs():
    torch.manual_seed(0)
    return tuple(torch.randn(2, c, h, 2 * h) for c, h in zip(CHANNELS, (33, 17, 9, 5)))


def test_is_mmsegs_fpn_where_fine_is_off():
    """Under the same arguments, from the same checkpoint."""
    torch.manual_seed(1)
    fpn = FPN(in_channels=CHANNELS, out_channels=32, num_outs=4)
    ours = FINEFPN(in_channels=CHANNELS, out_channels=32, num_outs=4, zero_init=True)
    missing, unexpected = ours.load_state_dict(fpn.state_dict(), strict=False)
    assert not unexpected and all(key.startswith('fine.') for key in missing)
    assert all(torch.equal(a, b) for a, b in zip(ours(inputs()), fpn(inputs())))


def test_what_semantic_and_panoptic_fpn_gain():
    """Table 7: +1.6M for both, which the FFN of 4C and linear attention (with its norm) give."""
    neck = FINEFPN([256, 512, 1024, 2048], 256, num_outs=4, fine_cfg=dict(ffn_ratio=4, attention='linear'))
    assert sum(p.numel() for p in neck.fine.parameters()) == 1_579_552
