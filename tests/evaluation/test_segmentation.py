import numpy as np
import pytest

from mmxattn.evaluation.segmentation import class_metrics, image_areas, segmentation_metrics


@pytest.fixture(scope='module')
def pairs():
    """Predictions and targets of five images with five classes, of which class 4 is absent; 255 is ignored."""
    rng = np.random.RandomState(0)
    labels = [rng.choice([0, 1, 2, 3, 255], (20, 30)) for _ in range(5)]
    return [(np.where(rng.rand(20, 30) < 0.6, label, rng.randint(0, 4, (20, 30))) % 4, label) for label in labels]


def test_areas_and_metrics_of_a_small_example():
    areas = image_areas(np.array([[0, 0, 1], [1, 1, 0]]), np.array([[0, 1, 1], [1, 9, 7]]), 3, ignore_index=9)
    # class 0: one correct pixel, two false positives; class 1: two correct, one missed; 7 is not a class
    assert areas.tolist() == [[1, 2, 0], [3, 3, 0], [3, 2, 0], [1, 3, 0]]
    values = segmentation_metrics(areas, small_classes=[1])
    assert values['mIoU'] == pytest.approx(50) and values['mIoU@small'] == pytest.approx(100 * 2 / 3)
    assert values['aAcc'] == 75 and values['mAcc'] == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert np.isnan(class_metrics(areas)['IoU'][2])
    assert np.isnan(segmentation_metrics(areas)['mIoU@small'])  # no small classes


def test_areas_match_mmseg(pairs):
    torch, metrics = pytest.importorskip('torch'), pytest.importorskip('mmseg.evaluation')
    for prediction, label in pairs:
        theirs = metrics.IoUMetric.intersect_and_union(torch.tensor(prediction), torch.tensor(label), 5, 255)
        assert np.array_equal(image_areas(prediction, label, 5), torch.stack(theirs).numpy())


def test_metrics_match_mmseg(pairs):
    torch, metrics = pytest.importorskip('torch'), pytest.importorskip('mmseg.evaluation')
    areas = sum(image_areas(*pair, 5) for pair in pairs)
    theirs = metrics.IoUMetric.total_area_to_metrics(*torch.tensor(areas).float(), ['mIoU'])
    values = segmentation_metrics(areas)
    assert values['mIoU'] == pytest.approx(100 * np.nanmean(theirs['IoU']), rel=1e-6)
    assert values['mAcc'] == pytest.approx(100 * np.nanmean(theirs['Acc']), rel=1e-6)
    assert values['aAcc'] == pytest.approx(100 * theirs['aAcc'], rel=1e-6)
    assert np.allclose(class_metrics(areas)['IoU'], 100 * theirs['IoU'], equal_nan=True)


def test_metrics_are_computed_for_each_row_of_sums(pairs):
    areas = np.stack([image_areas(*pair, 5) for pair in pairs])
    together = segmentation_metrics(areas, small_classes=[0, 2])
    for index, own in enumerate(areas):
        for name, value in segmentation_metrics(own, small_classes=[0, 2]).items():
            assert together[name][index] == pytest.approx(value)
