"""AFMA: correct predicted masks with per-class attention between patches of the image and a coarse feature map.

Paper: Sang, Zhou, Islam and Xing, "Small-Object Sensitive Segmentation Using Across Feature Map Attention", TPAMI 2023.
CLA builds on AFMA (CLA's Sec. II-B), but its authors did not have enough memory to compare with it (Sec. V).

The image I and the coarse map F are each converted to N_c maps, one per class; phi splits a map into patches of d x d
pixels. For each class c:
    A_c = phi(I)_c phi(F)_c^T / d^2                              (N_I x N_F), the across feature map attention
    M'_c = M_c + A_c phi(pool(M))_c / N_F                        (N_I x d^2, folded back to the image's size)
M denotes the predicted masks at the image's size; pool reduces them to the map's size. In training, A is compared with
the target phi(T) phi(pool(T))^T / d^2, where T are the one-hot ground-truth masks.

Differences from the paper:
* This implementation is based on the abstract and CLA's description. It chooses the layers that produce class maps
  (3x3 to 64 channels, ReLU, 1x1 to N_c for the image; 1x1 to N_c, as in CLA's Eq. 1, for the map), masks before the
  softmax, average pooling, and the mean squared error between A and its target.
* The paper stores A: 37.5 GiB per image at 512x512 with a 16x16 map, 150 classes and d=1. Without a softmax, the
  product is associative, and phi(F)_c^T phi(pool(M))_c is only d^2 x d^2. The difference between A and
  its target is [phi(I), phi(T)] [phi(F), -phi(pool(T))]^T / d^2, so its mean square can be computed from two Gram
  matrices of size 2d^2 x 2d^2. The order with fewer operations is used, so no tensor is larger than a few maps of N_c
  channels at the image's size.
* Maps whose size is not divisible by d are zero-padded on the right and at the bottom.
* ``zero_init`` (not in the paper) starts with A = 0.
"""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.validation import check_map
from ..cla import from_patches, to_patches

__all__ = ['AFMA']


class AFMA(nn.Module):
    """Across feature map attention between an image and one map of its encoder, applied to predicted masks.

    Args:
        map_channels: Channels of the feature map.
        num_classes: Number of classes N_c.
        patch_size: Side d of a patch, in pixels of the image and of the map.
        image_channels: Channels of the image.
        hidden_channels: Channels between the two convolutions that are applied to the image.
        zero_init: Start as the identity.

    Shape:
        image (B, image_channels, H, W), feature_map (B, map_channels, h, w) with h <= H and w <= W,
        masks (B, N_c, H, W) -> (B, N_c, H, W).
    """

    def __init__(self,
                 map_channels: int,
                 num_classes: int,
                 patch_size: int = 1,
                 image_channels: int = 3,
                 hidden_channels: int = 64,
                 zero_init: bool = False):
        super().__init__()
        self.patch_size = patch_size
        self.image_classes = nn.Sequential(
            nn.Conv2d(image_channels, hidden_channels, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(hidden_channels, num_classes, 1))
        self.map_classes = nn.Conv2d(map_channels, num_classes, 1)
        if zero_init:
            self.zero_output()

    def zero_output(self) -> None:
        """Zero the attention. Its gradient is nonzero, so it can still be trained."""
        nn.init.zeros_(self.map_classes.weight)
        nn.init.zeros_(self.map_classes.bias)

    def encode(self, image: Tensor, feature_map: Tensor) -> tuple[Tensor, Tensor]:
        """Return the class maps of the image (B, N_c, H, W) and of the feature map (B, N_c, h, w)."""
        check_map(self, image, self.image_classes[0].in_channels, 'image')
        check_map(self, feature_map, self.map_classes.in_channels, 'feature_map')
        if image.shape[2] < feature_map.shape[2] or image.shape[3] < feature_map.shape[3]:
            raise ValueError(f'AFMA: image must be at least as large as feature_map, got {tuple(image.shape[2:])} '
                             f'and {tuple(feature_map.shape[2:])}.')
        return self.image_classes(image), self.map_classes(feature_map)

    def modify(self, masks: Tensor, image_classes: Tensor, map_classes: Tensor) -> Tensor:
        """Correct the masks with the attention between the class maps from :meth:`encode`."""
        if masks.shape != image_classes.shape:
            raise ValueError(f'AFMA: masks must have the shape of the class maps of the image, got '
                             f'{tuple(masks.shape)} and {tuple(image_classes.shape)}. Resize the masks.')
        pooled = F.adaptive_avg_pool2d(masks, map_classes.shape[2:])
        query, key, value = (to_patches(x, self.patch_size) for x in (image_classes, map_classes, pooled))
        area, n_image, n_map = self.patch_size**2, query.shape[3], key.shape[3]
        key = key.transpose(2, 3) / (area * n_map)  # (B, N_c, N_F, d*d)
        if area == 1 or (n_image + n_map) * area <= 2 * n_image * n_map:
            x = (value @ key) @ query  # (B, N_c, d*d, N_I)
        else:
            x = value @ (key @ query)
        return masks + from_patches(x, self.patch_size, *masks.shape[2:])

    def loss(self, image_classes: Tensor, map_classes: Tensor, target: Tensor) -> Tensor:
        """Compute the mean squared error between the attention and the attention of the ground-truth masks.

        Args:
            image_classes: Class maps of the image, from :meth:`encode`.
            map_classes: Class maps of the feature map, from :meth:`encode`.
            target: One-hot ground-truth masks (B, N_c, H, W), zero at ignored pixels.
        """
        d = self.patch_size
        pooled = F.adaptive_avg_pool2d(target, map_classes.shape[2:])
        with torch.autocast(target.device.type, enabled=False):  # sums over all pixels
            left, right = (torch.cat([to_patches(y.to(target.dtype), d) for y in pair], dim=2)
                           for pair in ((image_classes, target), (map_classes, -pooled)))
            right = right / d**2  # A - target = left^T right, (B, N_c, N_I, N_F)
            n_image, n_map = left.shape[3], right.shape[3]
            if n_image * n_map <= (n_image + n_map) * left.shape[2]:
                return (left.transpose(2, 3) @ right).square().mean()
            grams = (x @ x.transpose(2, 3) / x.shape[3] for x in (left, right))  # (B, N_c, 2*d*d, 2*d*d)
            return torch.mul(*grams).sum((2, 3)).mean()

    def forward(self, image: Tensor, feature_map: Tensor, masks: Tensor) -> Tensor:
        return self.modify(masks, *self.encode(image, feature_map))
