"""Classes of mIoU@small (CLA, Section IV).

A class is small if more than 60% of its instances in the validation set are smaller than 32x32 pixels. The paper does
not define instances. If annotations contain instances, these are counted; in label maps, each 8-connected component of
a class counts as one. In this case, touching objects of a class are one instance, an object that is split by another
one is several instances, and a background with holes has many small components, so check the list of classes before you
rely on the metric.
"""
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import ndimage

AREA = 32 * 32  # pixels
SHARE = 0.6
EIGHT_NEIGHBORS = np.ones((3, 3), int)


def small_classes(
    label_maps: Iterable[np.ndarray],
    num_classes: int,
    ignore_index: int = 255,
    area: int = AREA,
    share: float = SHARE,
) -> list[int]:
    """Return the classes whose connected components are mostly small.

    Args:
        label_maps: Label maps of shape (H, W).
        num_classes: Number of classes. Other values belong to no class.
        ignore_index: Value of pixels to ignore.
        area: Components with fewer pixels are small.
        share: A class is small if more than this share of its components is small.

    Returns:
        Small classes in ascending order.
    """
    counts = np.zeros((2, num_classes), int)
    for label_map in label_maps:
        counts += count_components(label_map, num_classes, ignore_index, area)
    return select_small_classes(counts, share)


def count_components(label_map: np.ndarray, num_classes: int, ignore_index: int = 255, area: int = AREA) -> np.ndarray:
    """Count the 8-connected components of each class in one label map.

    Args:
        label_map: Label map of shape (H, W).
        num_classes: Number of classes. Other values belong to no class.
        ignore_index: Value of pixels to ignore.
        area: Components with fewer pixels are small.

    Returns:
        Numbers of all and of small components; int64 of shape (2, num_classes).
    """
    counts = np.zeros((2, num_classes), int)
    label_map = label_map.astype(np.int32)
    inside = (label_map >= 0) & (label_map < num_classes) & (label_map != ignore_index)
    boxes = ndimage.find_objects(np.where(inside, label_map + 1, 0))  # 0 means "no object"
    for label, box in enumerate(boxes):
        if box is not None:
            components, number = ndimage.label(label_map[box] == label, EIGHT_NEIGHBORS)
            pixels = np.bincount(components.ravel(), minlength=number + 1)[1:]
            counts[:, label] = number, np.sum(pixels < area)
    return counts


def count_instances(ground_truth: dict, classes: Sequence[str], area: int = AREA) -> np.ndarray:
    """Count the instances of each class in COCO-style annotations, without crowds.

    Args:
        ground_truth: Dict of ``categories`` (id, name) and ``annotations`` (category_id, area in pixels, iscrowd).
        classes: Names of the classes. Other categories are ignored.
        area: Instances with fewer pixels are small.

    Returns:
        Numbers of all and of small instances; int64 of shape (2, len(classes)).
    """
    class_index = {name: index for index, name in enumerate(classes)}
    index = {category['id']: class_index.get(category['name']) for category in ground_truth['categories']}
    counts = np.zeros((2, len(classes)), int)
    for annotation in ground_truth['annotations']:
        label = index.get(annotation['category_id'])
        if label is not None and not annotation.get('iscrowd'):
            counts[:, label] += 1, annotation['area'] < area
    return counts


def select_small_classes(counts: np.ndarray, share: float = SHARE) -> list[int]:
    """Return the classes whose instances are mostly small.

    Args:
        counts: Numbers of all and of small instances; shape (2, classes).
        share: A class is small if more than this share of its instances is small.

    Returns:
        Small classes in ascending order, without those that have no instances.
    """
    total, small = counts
    return np.flatnonzero(small > share * total).tolist()
