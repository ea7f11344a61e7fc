import pytest

from mmxattn.evaluation.detection_errors import ERROR_TYPES, detection_errors
from mmxattn.evaluation.operating_point import operating_point

# One object of class 1 in each of six images, with a different error in each.
OBJECTS = [(image, 1, 100, 100, 40, 40) for image in range(1, 7)]
EXAMPLES = dict(
    localization=[(1, 1, 100, 100, 40, 12, 0.6)],  # IoU 0.3
    classification=[(2, 2, 100, 100, 40, 40, 0.6)],
    duplicate=[(3, 1, 100, 100, 40, 40, 0.9), (3, 1, 100, 100, 40, 38, 0.6)],
    background=[(4, 1, 100, 100, 40, 40, 0.9), (4, 1, 300, 300, 40, 40, 0.6)],
    both=[(5, 1, 100, 100, 40, 40, 0.9), (5, 2, 100, 100, 40, 12, 0.6)],
    missed=[])


def counts(truth, results):
    return {kind: error['count'] for kind, error in detection_errors(truth, results).items()}


def test_each_error_type_is_counted_once(scene):
    truth, results = scene(OBJECTS, sum(EXAMPLES.values(), []), images=6)
    assert counts(truth, results) == dict.fromkeys(ERROR_TYPES, 1)


@pytest.mark.parametrize('kind', ERROR_TYPES)
def test_single_error_counts_for_its_type_only(scene, kind):
    image = list(EXAMPLES).index(kind) + 1
    truth, results = scene(OBJECTS[image - 1:image], EXAMPLES[kind], images=6)
    assert counts(truth, results) == dict(dict.fromkeys(ERROR_TYPES, 0), **{kind: 1})


@pytest.mark.parametrize('detection, kind', [
    ((1, 1, 100, 100, 40, 4, 0.5), 'localization'),  # IoU 0.1 with its own class
    ((1, 1, 100, 100, 40, 3.9, 0.5), 'background'),
    ((1, 2, 100, 100, 40, 4, 0.5), 'background'),  # IoU 0.1 with another class
    ((1, 2, 100, 100, 40, 4.1, 0.5), 'both'),
    ((1, 2, 100, 100, 40, 20, 0.5), 'classification'),  # IoU 0.5
    ((1, 2, 100, 100, 40, 19.9, 0.5), 'both'),
    ((2, 1, 100, 100, 40, 40, 0.5), 'background'),  # image without objects
])
def test_thresholds_separate_the_types(scene, detection, kind):
    truth, results = scene(OBJECTS[:1], [detection], images=2)
    has_target = kind in ('localization', 'classification')
    assert counts(truth, results) == {**dict.fromkeys(ERROR_TYPES, 0), kind: 1, 'missed': int(not has_target)}


def test_localization_takes_precedence_over_classification(scene):
    truth, results = scene([(1, 1, 100, 100, 40, 40), (1, 2, 100, 100, 40, 14)], [(1, 1, 100, 100, 40, 13, 0.5)])
    assert counts(truth, results)['localization'] == 1  # IoU 0.3 with its own class, 0.9 with the other


def test_ap_lost_by_each_type(scene):
    """Two classes of two objects each; 51 of the 101 recall points are at or below 0.5."""
    objects = [(1, 1, 0, 0, 40, 40), (2, 1, 0, 0, 40, 40), (1, 2, 200, 200, 40, 40), (2, 2, 200, 200, 40, 40)]
    truth, results = scene(objects, [
        (1, 1, 0, 0, 40, 40, 0.9),  # correct
        (1, 1, 300, 0, 40, 40, 0.95),  # background, with the highest score of class 1
        (2, 2, 0, 0, 40, 40, 0.5),  # object of class 1, detected as class 2
        (1, 2, 200, 200, 40, 40, 0.9),  # correct
    ], images=2)
    half = 51 / 101
    assert operating_point(truth, results, score=0)['overall']['tp'] == 2
    errors = detection_errors(truth, results)
    base = (half * 0.5 + half) / 2  # class 1: 1 of 2; class 2: 1 of 1
    # class 1: correct at scores 0.9 and 0.5 after one wrong: precision 2/3 at full recall and, by the envelope, at 0.5
    assert errors['classification'] == dict(count=1, ap_lost=pytest.approx((2 / 3 + half) / 2 - base))
    assert errors['background'] == dict(count=1, ap_lost=pytest.approx((half + half) / 2 - base))
    # the second object of class 2 is missed, and class 2 is perfect without it; that of class 1 is a target
    assert errors['missed'] == dict(count=1, ap_lost=pytest.approx((half * 0.5 + 1) / 2 - base))
    for kind in ('localization', 'both', 'duplicate'):
        assert errors[kind] == dict(count=0, ap_lost=0)


def test_object_is_fixed_once(scene):
    bad = [(1, 1, 0, 0, 40, 12, 0.9), (1, 1, 0, 0, 40, 13, 0.8), (1, 1, 0, 0, 12, 40, 0.7)]
    truth, results = scene([(1, 1, 0, 0, 40, 40)], bad)
    errors = detection_errors(truth, results)
    assert errors['localization'] == dict(count=3, ap_lost=pytest.approx(1))  # one correct, none wrong


def test_highest_score_of_an_object_is_fixed(scene):
    truth, results = scene([(1, 1, 0, 0, 40, 40), (2, 1, 0, 0, 40, 40)], [
        (1, 1, 0, 0, 40, 13, 0.5), (1, 1, 0, 0, 40, 12, 0.9),  # both localization errors
        (2, 1, 0, 0, 40, 40, 0.8), (2, 1, 300, 300, 40, 40, 0.7)], images=2)
    # before: wrong, correct, wrong, wrong; after: correct, correct, wrong
    assert detection_errors(truth, results)['localization'] == dict(count=2, ap_lost=pytest.approx(1 - 51 / 101 / 2))


def test_errors_of_found_objects_are_removed(scene):
    truth, results = scene([(1, 1, 0, 0, 40, 40), (2, 1, 0, 0, 40, 40)], [
        (1, 1, 0, 0, 40, 12, 0.9), (1, 1, 0, 0, 40, 40, 0.8)], images=2)
    errors = detection_errors(truth, results)
    assert errors['localization'] == dict(count=1, ap_lost=pytest.approx(51 / 101 * (1 - 0.5)))
    assert errors['missed']['count'] == 1


def test_no_detections_give_only_missed(scene):
    truth, _ = scene(OBJECTS, images=6)
    assert detection_errors(truth, [])['missed'] == dict(count=6, ap_lost=0)
    assert counts(scene([])[0], []) == dict.fromkeys(ERROR_TYPES, 0)


def test_entirely_missed_class_keeps_zero_ap(scene):
    truth, results = scene([(1, 1, 0, 0, 40, 40), (1, 2, 100, 100, 40, 40)], [(1, 2, 100, 100, 40, 40, 0.9)])
    assert detection_errors(truth, results)['missed'] == dict(count=1, ap_lost=0)


def test_crowds_are_ignored(scene):
    truth, results = scene([(1, 1, 300, 300, 40, 40)], [(1, 1, 120, 120, 20, 20, 0.9)],
                           crowds=[(1, 1, 100, 100, 100, 100)])
    assert counts(truth, results) == dict(dict.fromkeys(ERROR_TYPES, 0), missed=1)


@pytest.mark.parametrize('seed', range(6))
def test_counts_agree_with_operating_point(random_scene, seed):
    truth, results = random_scene(seed)
    errors = detection_errors(truth, results)
    overall = operating_point(truth, results, score=0)['overall']
    assert sum(errors[kind]['count'] for kind in ERROR_TYPES[:-1]) == overall['fp']
    assert errors['missed']['count'] <= overall['fn']
    assert all(error['ap_lost'] >= -1e-12 and (error['count'] or not error['ap_lost']) for error in errors.values())
