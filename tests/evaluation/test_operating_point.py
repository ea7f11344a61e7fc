import pytest

from mmxattn.evaluation.operating_point import operating_point, rates


@pytest.mark.parametrize('counts, precision, recall, f1', [((23833, 21557, 12502), 0.525, 0.656, 0.583),
                                                           ((24186, 19417, 12149), 0.555, 0.666, 0.605)])
def test_rates_match_table_5_of_fine(counts, precision, recall, f1):
    found = rates(*counts)
    assert (found['tp'], found['fp'], found['fn']) == counts
    assert [round(found[name], 3) for name in ('precision', 'recall', 'f1')] == [precision, recall, f1]


def test_undefined_rates_are_none():
    assert rates(0, 0, 0) == dict(tp=0, fp=0, fn=0, precision=None, recall=None, f1=None)
    assert rates(0, 0, 3) == dict(tp=0, fp=0, fn=3, precision=None, recall=0, f1=0)


def test_detections_are_counted_by_score_class_and_overlap(scene):
    boxes = [(1, 1, 0, 0, 20, 20), (1, 2, 100, 100, 20, 20), (2, 1, 0, 0, 20, 20), (2, 1, 50, 50, 20, 20)]
    truth, results = scene(boxes, [
        (1, 1, 0, 0, 20, 20, 0.5),  # correct: a score equal to the threshold counts
        (1, 1, 0, 0, 20, 19, 0.49),  # below the threshold
        (1, 1, 0, 0, 20, 18, 0.9),  # higher score: it takes the object, the first is wrong
        (1, 1, 100, 100, 20, 20, 0.8),  # wrong class
        (2, 1, 0, 0, 20, 10, 0.7),  # IoU exactly 0.5: correct
        (2, 1, 50, 50, 20, 9.9, 0.7),  # just below 0.5: wrong, and its object is missed
    ], images=3)
    point = operating_point(truth, results)
    assert point['per_class'] == dict(c1=rates(2, 3, 1), c2=rates(0, 0, 1))
    assert point['overall'] == rates(2, 3, 2)
    assert (point['iou'], point['score']) == (0.5, 0.5)
    assert operating_point(truth, results, iou=0.4, score=0.6)['overall'] == rates(3, 1, 1)


def test_crowds_are_ignored(scene):
    truth, results = scene([(1, 1, 0, 0, 20, 20)], crowds=[(1, 1, 100, 100, 100, 100)], detections=[
        (1, 1, 110, 110, 30, 30, 0.9),  # in the crowd
        (1, 1, 150, 150, 30, 30, 0.9),  # in the crowd
        (1, 2, 110, 110, 30, 30, 0.9)])  # other class: wrong
    assert operating_point(truth, results)['overall'] == rates(0, 1, 1)


def test_number_of_detections_is_unlimited(scene):
    boxes = [(1, 1, 3 * k, 0, 3, 300) for k in range(130)]
    truth, results = scene(boxes, [(*box, 0.6) for box in boxes])
    assert operating_point(truth, results)['overall'] == rates(130, 0, 0)


@pytest.mark.parametrize('seed', range(6))
def test_counts_match_plain_greedy_matching(random_scene, seed):
    truth, results = random_scene(seed)
    point = operating_point(truth, results, iou=0.5, score=0.3)
    for category in (1, 2, 3, 4):
        assert point['per_class'][f'c{category}'] == rates(*greedy(truth, results, category, 0.5, 0.3))


def greedy(truth, results, category, threshold, score):
    """Match detections by descending score with the free object of highest IoU."""
    tp = fp = fn = 0
    for image in truth['images']:
        anns = [ann for ann in truth['annotations'] if (ann['image_id'], ann['category_id']) == (image['id'], category)]
        free = [ann for ann in anns if not ann['iscrowd']]
        crowds = [ann for ann in anns if ann['iscrowd']]
        own = [result for result in results if (result['image_id'], result['category_id']) == (image['id'], category)]
        for result in sorted(own, key=lambda one: -one['score']):
            if result['score'] < score:
                continue
            best = max(free, key=lambda ann: overlap(result['bbox'], ann['bbox']), default=None)
            if best is not None and overlap(result['bbox'], best['bbox']) >= threshold:
                free.remove(best)
                tp += 1
            elif not any(overlap(result['bbox'], ann['bbox'], crowd=True) >= threshold for ann in crowds):
                fp += 1
        fn += len(free)
    return tp, fp, fn


def overlap(box, other, crowd=False):
    """Compute the IoU, or for a crowd the share of the box inside it."""
    sides = [max(0, min(box[k] + box[k + 2], other[k] + other[k + 2]) - max(box[k], other[k])) for k in (0, 1)]
    common, area = sides[0] * sides[1], box[2] * box[3]
    return common / (area if crowd else area + other[2] * other[3] - common)
