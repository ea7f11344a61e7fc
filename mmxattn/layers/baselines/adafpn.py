"""AdaFPN: each low pixel samples the high map where it likes, and weighs the two maps.

Paper: Wang and Zhong, "Adaptive Feature Pyramid Networks for Object Detection", IEEE Access 2021. A baseline of FINE in
its Table 2.

* Adaptive feature upsampling (AFU): a group of sampling points is predicted for each pixel, and their features are
  combined.
* Adaptive feature fusion (AFF): weights of the two maps at each pixel, by attention.

Where that leaves it open: AFU's points, offsets and (softmax) weights alike, come from a 3x3 convolution of the low map
beside the upsampled high one; they start as the 3x3 neighbours in the high map, equally weighted. AFF's weights come
from a 3x3 convolution 2C -> C, ReLU and a 1x1 one, with a softmax over the two maps. So RT-DETR gets 2.61M parameters
and 20.9 G operations more (FINE's Table 2: 2.7M, 21.1 G).
"""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.validation import check_pair, check_whole

__all__ = ['AdaFPNAlignment']


class AdaptiveUpsampling(nn.Module):
    """AFU: the high map on the low map's grid, each pixel a weighted mean of samples at predicted points.

    Shape:
        low (B, C, H, W), high (B, C, H', W') -> (B, C, H, W).
    """

    neighbours: Tensor

    def __init__(self, channels: int):
        super().__init__()
        steps = torch.arange(-1., 2.)
        neighbours = torch.cartesian_prod(steps, steps).flip(1)  # (K, 2): column, row, in pixels of the high map
        self.register_buffer('neighbours', neighbours, persistent=False)
        self.predict = nn.Conv2d(2 * channels, 3 * len(neighbours), 3, padding=1)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        (height, width), (rows, columns) = low.shape[2:], high.shape[2:]
        maps = torch.cat((low, F.interpolate(high, size=(height, width))), 1)
        moves, weights = self.predict(maps).split((2 * len(self.neighbours), len(self.neighbours)), 1)
        # half precision has too few digits for places in a map
        precise = torch.promote_types(high.dtype, torch.float32)
        moves = moves.to(precise).unflatten(1, (-1, 2)).permute(1, 0, 3, 4, 2)  # (K, B, H, W, 2), high pixels
        moves = moves + self.neighbours[:, None, None, None].to(precise)
        moves = torch.stack((moves[..., 0] * (2 / columns), moves[..., 1] * (2 / rows)), 4)  # the map is 2 wide
        points = pixel_centres(height, width, moves) + moves
        weights = weights.softmax(1).unsqueeze(2).unbind(1)  # K of (B, 1, H, W)
        samples = (F.grid_sample(high.to(precise), grid, padding_mode='border', align_corners=False) for grid in points)
        return sum(weight * sample.to(high.dtype) for weight, sample in zip(weights, samples))


def pixel_centres(height: int, width: int, like: Tensor) -> Tensor:
    """(H, W, 2): column and row of each pixel's centre, from -1 to 1 over the map."""
    rows, columns = ((torch.arange(n, dtype=like.dtype, device=like.device) + 0.5) * (2 / n) - 1
                     for n in (height, width))
    return torch.stack((columns.expand(height, -1), rows[:, None].expand(-1, width)), 2)


class AdaFPNAlignment(nn.Module):
    """AdaFPN's fusion of two levels: both maps on the low grid, each scaled by its weight at each pixel.

    Args:
        channels: C of both maps.
        high_channels: C as well, or left out.

    Shape:
        low (B, C, H, W), high (B, C, H', W') -> both (B, C, H, W).

    Raises:
        ValueError: unequal channels.
    """

    def __init__(self, channels: int, high_channels: int = None):
        super().__init__()
        check_whole('AdaFPNAlignment', channels=channels)
        if high_channels not in (None, channels):
            raise ValueError(f'AdaFPNAlignment: channels={channels}, high_channels={high_channels}; both maps must '
                             'have as many.')
        self.channels = channels
        self.upsampling = AdaptiveUpsampling(channels)
        self.attention = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, 2, 1))
        self.init_weights()

    def init_weights(self) -> None:
        """Start with the nine neighbours, equally weighted."""
        nn.init.zeros_(self.upsampling.predict.weight)
        nn.init.zeros_(self.upsampling.predict.bias)

    def forward(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        check_pair(self, low, high, self.channels)
        high = self.upsampling(low, high)
        for_low, for_high = self.attention(torch.cat((low, high), 1)).softmax(1).split(1, 1)
        return for_low * low, for_high * high
