import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmxattn.evaluation.small_iou import count_components, count_instances, select_small_classes, small_classes


def squares(*sides, label=1):
    """Create a label map of 0 with squares of one class side by side."""
    canvas = np.zeros((64, 65 * max(len(sides), 1)), int)
    for index, side in enumerate(sides):
        canvas[:side, 65 * index:65 * index + side] = label
    return canvas


@pytest.mark.parametrize('sides, small', [
    ((31, 31, 31, 40, 40), []),  # three of five is not more than 60%
    ((31, 31, 31, 31, 40), [1]),
    ((32, 32, 32, 32, 32), []),  # 32 x 32 is not smaller than 32 x 32
    ((), []),
])
def test_small_means_over_60_percent_below_32x32(sides, small):
    assert small_classes([squares(*sides)], num_classes=2) == small


def test_share_is_computed_over_all_images():
    few, many = squares(10, 10, label=1), squares(40, 40, 40, label=1)
    assert small_classes([few, many], 2) == []
    assert small_classes([few, few, few, many], 2) == [1]
    assert small_classes(iter([few]), 2, area=100) == []
    assert small_classes([few, many], 2, share=0.3) == [1]


def test_components_are_8_connected_and_split_by_other_labels():
    label_map = np.array([[1, 0, 2, 2, 2],
                          [0, 1, 2, 9, 2],
                          [0, 0, 2, 9, 2],
                          [1, 0, 9, 9, 7]])
    every, small = count_components(label_map, num_classes=3, ignore_index=9, area=3)
    assert every.tolist() == [1, 2, 1]
    assert small.tolist() == [0, 2, 0]


def test_labels_outside_the_classes_are_ignored():
    assert count_components(np.array([[-1, 5, 255]]), 2).tolist() == [[0, 0], [0, 0]]
    assert count_components(np.array([[0, 1, 255]], np.uint8), 2).tolist() == [[1, 1], [1, 1]]
    assert count_components(np.array([[0, 1]]), 2, ignore_index=0).tolist() == [[0, 1], [0, 1]]


@given(arrays(np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.sampled_from([0, 1, 2, 255])))
def test_components_match_flood_fill(label_map):
    every, small = count_components(label_map, num_classes=3, area=4)
    sizes = [flood(label_map, label) for label in range(3)]
    assert every.tolist() == [len(areas) for areas in sizes]
    assert small.tolist() == [sum(area < 4 for area in areas) for areas in sizes]


def flood(label_map, label):
    """Compute the sizes of the components of a class, pixel by pixel."""
    left, sizes = set(zip(*np.nonzero(label_map == label))), []
    while left:
        front, size = [left.pop()], 0
        while front:
            row, column = front.pop()
            size += 1
            near = {(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)} & left
            left -= near
            front += near
        sizes.append(size)
    return sizes


def test_instances_are_counted_without_crowds():
    truth = dict(categories=[dict(id=7, name='b'), dict(id=3, name='a'), dict(id=4, name='other')],
                 annotations=[dict(category_id=7, area=1023.5, iscrowd=0), dict(category_id=7, area=1024, iscrowd=0),
                              dict(category_id=7, area=5, iscrowd=1), dict(category_id=3, area=5),
                              dict(category_id=4, area=5, iscrowd=0)])
    counts = count_instances(truth, ['a', 'b', 'c'])
    assert counts.tolist() == [[1, 2, 0], [1, 1, 0]]
    assert select_small_classes(counts) == [0]
