"""AFMA: the relation of an image's patches to a coarse feature map's, class by class, corrects the predicted masks.

Paper: Sang, Zhou, Islam and Xing, "Small-Object Sensitive Segmentation Using Across Feature Map Attention", TPAMI 2023.
CLA descends from it (CLA's Sec. II-B), and names it as the comparison that it had no memory for (Sec. V).

The image I and the coarse map F become N_c maps each, one a class; phi cuts patches of d x d pixels. Per class c:
    A_c = phi(I)_c phi(F)_c^T / d^2                              (N_I x N_F), the across feature map attention
    M'_c = M_c + A_c phi(pool(M))_c / N_F                        (N_I x d^2, folded back to the image's size)
where M are the predicted masks at the image's size, pooled to the map's. In training A is held to the gold one, that of
the true masks: the same product of the one-hot masks and of these pooled to the map's size.

Beside the paper's text:
* this follows its abstract and what CLA's paper says of it. Chosen here are what turns the image and the map into class
  maps (3x3 to 64 channels, ReLU, 1x1 to N_c for the image, and 1x1 to N_c, as in CLA's Eq. 1, for the map), that the
  masks are those before their softmax, pooled by averaging, and the mean square as what holds A to the gold one;
* the paper stores A, which at 512x512 with 16x16, 150 classes and d=1 is 37.5 GiB an image. There is no softmax, so
  the product is associative: phi(F)_c^T phi(pool(M))_c is d^2 x d^2. And the mean square of A - gold A, that is of
  [phi(I), phi(gold)] [phi(F), -phi(pool(gold))]^T, is the product of two Gram matrices of 2d^2 x 2d^2, one a factor.
  For large patches, of which there are few, the other order is the cheaper one; it is taken by counting. Nothing is
  ever larger than a few maps of N_c channels at the image's size;
* maps that d does not divide are padded with zeros on the right and at the bottom;
* ``zero_init`` (not in the paper) starts with an A of zero.
"""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...utils.validation import check_flags, check_map, check_whole
from ..cla import from_patches, to_patches

__all__ = ['AFMA']


class AFMA(nn.Module):
    """Across feature map attention between an image and one map of its encoder, applied to predicted masks.

    Args:
        map_channels: channels of the feature map.
        num_classes: N_c, the masks' channels.
        patch_size: side d of a patch, in pixels of the image, and of the map.
        image_channels: channels of the image.
        hidden_channels: channels between the two convolutions of the image.
        zero_init: start as the identity.

    Shape:
        image (B, image_channels, H, W), feature map (B, map_channels, h, w) with h <= H, w <= W, masks (B, N_c, H, W)
        -> (B, N_c, H, W).

    Raises:
        ValueError: a patch smaller than 1 at construction; at the first forward masks of another size than the image,
            or a map larger than it.
    """

    def __init__(self,
                 map_channels: int,
                 num_classes: int,
                 patch_size: int = 1,
                 image_channels: int = 3,
                 hidden_channels: int = 64,
                 zero_init: bool = False):
        super().__init__()
        check_whole('AFMA', map_channels=map_channels, num_classes=num_classes, patch_size=patch_size,
                    image_channels=image_channels, hidden_channels=hidden_channels)
        check_flags('AFMA', zero_init=zero_init)
        self.patch_size = patch_size
        self.image_classes = nn.Sequential(
            nn.Conv2d(image_channels, hidden_channels, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(hidden_channels, num_classes, 1))
        self.map_classes = nn.Conv2d(map_channels, num_classes, 1)
        if zero_init:
            self.zero_output()

    def zero_output(self) -> None:
        """Make the attention nothing, with a gradient that can leave that point."""
        nn.init.zeros_(self.map_classes.weight)
        nn.init.zeros_(self.map_classes.bias)

    def encode(self, image: Tensor, feature_map: Tensor) -> tuple[Tensor, Tensor]:
        """The class maps of both: (B, N_c, H, W) and (B, N_c, h, w)."""
        check_map(self, image, self.image_classes[0].in_channels, 'image')
        check_map(self, feature_map, self.map_classes.in_channels, 'feature map')
        if image.shape[2] < feature_map.shape[2] or image.shape[3] < feature_map.shape[3]:
            raise ValueError(f'AFMA: the image {tuple(image.shape[2:])} is smaller than the feature map '
                             f'{tuple(feature_map.shape[2:])}; give the image first.')
        return self.image_classes(image), self.map_classes(feature_map)

    def modify(self, masks: Tensor, image_classes: Tensor, map_classes: Tensor) -> Tensor:
        """The masks, corrected by the attention between the class maps that :meth:`encode` gives."""
        if masks.shape != image_classes.shape:
            raise ValueError(f"AFMA: the masks {tuple(masks.shape)} and the image's class maps "
                             f'{tuple(image_classes.shape)} differ; resize the masks to the image.')
        pooled = F.adaptive_avg_pool2d(masks, map_classes.shape[2:])
        query, key, value = (to_patches(x, self.patch_size) for x in (image_classes, map_classes, pooled))
        key = key.transpose(2, 3) / self.patch_size**2  # (B, N_c, d*d, N_F)
        value = value / value.shape[2]
        num_image, num_map, area = query.shape[2], value.shape[2], self.patch_size**2
        if area == 1 or (num_image + num_map) * area <= 2 * num_image * num_map:
            x = query @ (key @ value)
        else:
            x = query @ key @ value
        return masks + from_patches(x, self.patch_size, *masks.shape[2:])

    def loss(self, image_classes: Tensor, map_classes: Tensor, gold: Tensor) -> Tensor:
        """Mean square difference between the attention and the gold one.

        Args:
            image_classes, map_classes: as :meth:`encode` gives them.
            gold: true masks (B, N_c, H, W), one-hot; a pixel without a class has none.
        """
        size = self.patch_size
        pooled = F.adaptive_avg_pool2d(gold, map_classes.shape[2:])
        with torch.autocast(gold.device.type, enabled=False):  # sums over all pixels
            left, right = (torch.cat([to_patches(y.to(gold.dtype), size) for y in pair], dim=3)
                           for pair in ((image_classes, gold), (map_classes, -pooled)))
            right = right / size**2  # A - gold A = left right^T, (B, N_c, N_I, N_F)
            num_image, num_map = left.shape[2], right.shape[2]
            if num_image * num_map <= (num_image + num_map) * left.shape[3]:
                return (left @ right.transpose(2, 3)).square().mean()
            grams = (x.transpose(2, 3) @ x / x.shape[2] for x in (left, right))  # (B, N_c, 2*d*d, 2*d*d)
            return torch.mul(*grams).sum((2, 3)).mean()

    def forward(self, image: Tensor, feature_map: Tensor, masks: Tensor) -> Tensor:
        return self.modify(masks, *self.encode(image, feature_map))
