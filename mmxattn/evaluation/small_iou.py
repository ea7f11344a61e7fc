"""Which classes are small: CLA's rule for mIoU@small.

CLA, Section IV: "small" are the classes of which more than 60% of the instances in the validation set are smaller than
32 x 32 pixels. The paper does not say how it told instances apart. Where annotations have instances, they are counted;
label maps have none, and there each 8-connected component of a class counts as one. Touching objects of a class then
are one instance, an object that another one divides is several, and a background with holes in it has many small
components: read the list before you read the number.
"""
import numpy as np
from scipy import ndimage

AREA = 32 * 32  # pixels
SHARE = 0.6
EIGHT_NEIGHBOURS = np.ones((3, 3), int)


def small_classes(label_maps, num_classes, ignore_index=255, area=AREA, share=SHARE):
    """The classes most of whose connected components are small.

    Args:
        label_maps (Iterable[np.ndarray]): (H, W) class of each pixel.
        num_classes (int): Number of classes; other labels belong to none.
        ignore_index (int): Pixels of this value belong to none.
        area (int): Components of fewer pixels are small.
        share (float): More than this share of a class's components have to be small.

    Returns:
        list[int]: The classes, ascending.
    """
    counts = np.zeros((2, num_classes), int)
    for label_map in label_maps:
        counts += count_components(label_map, num_classes, ignore_index, area)
    return small_of_counts(counts, share)


def count_components(label_map, num_classes, ignore_index=255, area=AREA):
    """Count the 8-connected components of each class in one label map.

    Args:
        label_map (np.ndarray): (H, W) class of each pixel.
        num_classes (int): Number of classes; other labels belong to none.
        ignore_index (int): Pixels of this value belong to none.
        area (int): Components of fewer pixels are small.

    Returns:
        np.ndarray: (2, num_classes) int64: all components, and the small ones.
    """
    counts = np.zeros((2, num_classes), int)
    label_map = label_map.astype(np.int32)
    inside = (label_map >= 0) & (label_map < num_classes) & (label_map != ignore_index)
    boxes = ndimage.find_objects(np.where(inside, label_map + 1, 0))  # to find_objects 0 is "no class"
    for label, box in enumerate(boxes):
        if box is not None:
            components, number = ndimage.label(label_map[box] == label, EIGHT_NEIGHBOURS)
            pixels = np.bincount(components.ravel(), minlength=number + 1)[1:]
            counts[:, label] = number, np.sum(pixels < area)
    return counts


def count_annotations(ground_truth, classes, area=AREA):
    """Count the instances of each class in COCO-style annotations; crowds are no instances.

    Args:
        ground_truth (dict): ``categories`` (id, name) and ``annotations`` (category_id, area in pixels, iscrowd).
        classes (Sequence[str]): Names of the classes; other categories are left out.
        area (int): Instances of fewer pixels are small.

    Returns:
        np.ndarray: (2, len(classes)) int64: all instances, and the small ones.
    """
    position = {name: index for index, name in enumerate(classes)}
    index = {category['id']: position.get(category['name']) for category in ground_truth['categories']}
    counts = np.zeros((2, len(classes)), int)
    for annotation in ground_truth['annotations']:
        label = index.get(annotation['category_id'])
        if label is not None and not annotation.get('iscrowd'):
            counts[:, label] += 1, annotation['area'] < area
    return counts


def small_of_counts(counts, share=SHARE):
    """The classes more than ``share`` of whose instances are small.

    Args:
        counts (np.ndarray): (2, classes): all instances, and the small ones.
        share (float): 0 to 1.

    Returns:
        list[int]: The classes, ascending; one without instances is not small.
    """
    every, small = counts
    return np.flatnonzero(small > share * every).tolist()
