"""AdaFPN: adaptive upsampling and fusion of two levels, a baseline in FINE's Table 2.

Paper: Wang and Zhong, "Adaptive Feature Pyramid Networks for Object Detection", IEEE Access 2021.

* Adaptive feature upsampling (AFU): each low pixel samples the high map at predicted points and combines the samples.
* Adaptive feature fusion (AFF): attention weights the two maps at each pixel.

The paper does not specify the layers. Here, a 3x3 convolution of the low map and the upsampled high map predicts the
offsets and softmax weights of AFU, which start as the equally weighted 3x3 neighborhood in the high map. AFF consists
of a 3x3 convolution (2C -> C), a ReLU, a 1x1 convolution and a softmax over the two maps. This adds 2.61M parameters
and 20.9 G operations to RT-DETR (FINE's Table 2: 2.7M, 21.1 G).
"""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.validation import check_pair

__all__ = ['AdaFPNAlignment']


class AdaptiveUpsampling(nn.Module):
    """AFU: upsample the high map by weighted sampling at predicted points.

    Shape:
        low (B, C, H, W), high (B, C, H', W') -> (B, C, H, W).
    """

    neighbors: Tensor

    def __init__(self, channels: int):
        super().__init__()
        steps = torch.arange(-1., 2.)
        neighbors = torch.cartesian_prod(steps, steps).flip(1)  # (K, 2): (column, row) in pixels of the high map
        self.register_buffer('neighbors', neighbors, persistent=False)
        self.predict = nn.Conv2d(2 * channels, 3 * len(neighbors), 3, padding=1)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        (height, width), (high_height, high_width) = low.shape[2:], high.shape[2:]
        maps = torch.cat((low, F.interpolate(high, size=(height, width))), 1)
        offsets, weights = self.predict(maps).split((2 * len(self.neighbors), len(self.neighbors)), 1)
        dtype = torch.promote_types(high.dtype, torch.float32)  # half precision is too coarse for coordinates
        offsets = offsets.to(dtype).unflatten(1, (-1, 2)).permute(1, 0, 3, 4, 2)  # (K, B, H, W, 2), high pixels
        offsets = offsets + self.neighbors[:, None, None, None].to(dtype)
        offsets = torch.stack((offsets[..., 0] * (2 / high_width), offsets[..., 1] * (2 / high_height)), 4)
        points = pixel_centers(height, width, offsets) + offsets
        weights = weights.softmax(1).unsqueeze(2).unbind(1)  # K tensors (B, 1, H, W)
        samples = (F.grid_sample(high.to(dtype), grid, padding_mode='border', align_corners=False) for grid in points)
        return sum(weight * sample.to(high.dtype) for weight, sample in zip(weights, samples))


def pixel_centers(height: int, width: int, like: Tensor) -> Tensor:
    """Return (column, row) of each pixel center in [-1, 1], of shape (H, W, 2)."""
    rows, columns = ((torch.arange(n, dtype=like.dtype, device=like.device) + 0.5) * (2 / n) - 1
                     for n in (height, width))
    return torch.stack((columns.expand(height, -1), rows[:, None].expand(-1, width)), 2)


class AdaFPNAlignment(nn.Module):
    """AdaFPN's fusion of two levels: both maps at the low map's size, each multiplied by its weight.

    Args:
        channels: Channels C of both maps.
        high_channels: Channels of the high map. Must equal ``channels``.

    Shape:
        low (B, C, H, W), high (B, C, H', W') -> both (B, C, H, W).
    """

    def __init__(self, channels: int, high_channels: int | None = None):
        super().__init__()
        if high_channels not in (None, channels):
            raise ValueError(f'AdaFPNAlignment: high_channels must equal channels, got {high_channels} and {channels}.')
        self.channels = channels
        self.upsampling = AdaptiveUpsampling(channels)
        self.attention = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, 2, 1))
        self.init_weights()

    def init_weights(self) -> None:
        """Start with the equally weighted 3x3 neighborhood."""
        nn.init.zeros_(self.upsampling.predict.weight)
        nn.init.zeros_(self.upsampling.predict.bias)

    def forward(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        check_pair(self, low, high, self.channels)
        high = self.upsampling(low, high)
        low_weight, high_weight = self.attention(torch.cat((low, high), 1)).softmax(1).split(1, 1)
        return low_weight * low, high_weight * high
