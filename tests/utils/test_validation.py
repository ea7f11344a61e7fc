import pytest
import torch
from torch import nn

from mmxattn.utils.validation import check_divisible, check_map, check_maps, check_option, check_pair


class Layer(nn.Module):
    pass


def x(*shape):
    return torch.zeros(shape)


@pytest.mark.parametrize('check, message', [
    (lambda: check_option('FINE', ('linear', 'area'), attention='flash'),
     "FINE: attention must be one of 'linear', 'area', got 'flash'."),
    (lambda: check_divisible('FINE', channels=40, head_dim=16),
     'FINE: channels must be divisible by head_dim, got channels=40 and head_dim=16.'),
    (lambda: check_divisible('FINE', channels=40, num_heads=0), 'got channels=40 and num_heads=0.'),
    (lambda: check_map(Layer(), x(2, 8, 4, 4), 16), 'Layer: input must have shape (B, 16, H, W), got (2, 8, 4, 4).'),
    (lambda: check_map(Layer(), x(8, 4, 4)), 'Layer: input must have shape (B, C, H, W), got (8, 4, 4).'),
    (lambda: check_maps(Layer(), [x(2, 8, 4, 4)], [8, 16]),
     'Layer: expected 2 maps (B, C, H, W) with in_channels=[8, 16], got shapes [(2, 8, 4, 4)].'),
    (lambda: check_maps(Layer(), [x(2, 16, 4, 4), x(2, 8, 4, 4)], [8, 16]),
     'got shapes [(2, 16, 4, 4), (2, 8, 4, 4)].'),
    (lambda: check_maps(Layer(), [x(8, 4, 4)], [8]), 'got shapes [(8, 4, 4)].'),
    (lambda: check_pair(Layer(), x(2, 8, 4, 4), x(2, 4, 4, 4), 8), 'Layer: high must have shape (B, 8, H, W)'),
    (lambda: check_pair(Layer(), x(2, 8, 4, 4), x(1, 8, 4, 4)),
     'Layer: low and high must have the same batch size, got 2 and 1'),
    (lambda: check_pair(Layer(), x(2, 8, 4, 4), x(2, 8, 4, 8)),
     'Layer: low must be at least as large as high, got sizes (4, 4) and (4, 8). Pass the finer map first.'),
])
def test_errors_state_the_requirement_and_the_value(check, message):
    with pytest.raises(ValueError) as caught:
        check()
    assert message in str(caught.value)


def test_valid_arguments_pass():
    check_option('FINE', ('linear', 'area'), attention='area')
    check_divisible('FINE', channels=32, head_dim=16)
    check_map(Layer(), x(0, 8, 4, 4), 8)
    check_maps(Layer(), [x(2, 3, 9, 9), x(2, 16, 4, 4)], [8, 16], start_level=1)  # level 0 is not used
    check_pair(Layer(), x(2, 8, 4, 4), x(2, 16, 4, 4))
