import pytest

from mmxattn.evaluation.detection_errors import TYPES, detection_errors
from mmxattn.evaluation.operating_point import operating_point

# One object of class 1 in each of six images; the detector makes another mistake with each but the last.
OBJECTS = [(image, 1, 100, 100, 40, 40) for image in range(1, 7)]
MISTAKES = dict(
    localisation=[(1, 1, 100, 100, 40, 12, 0.6)],  # IoU 0.3
    classification=[(2, 2, 100, 100, 40, 40, 0.6)],
    duplicate=[(3, 1, 100, 100, 40, 40, 0.9), (3, 1, 100, 100, 40, 38, 0.6)],
    background=[(4, 1, 100, 100, 40, 40, 0.9), (4, 1, 300, 300, 40, 40, 0.6)],
    both=[(5, 1, 100, 100, 40, 40, 0.9), (5, 2, 100, 100, 40, 12, 0.6)],
    missed=[])


def counts(truth, results):
    return {kind: error['count'] for kind, error in detection_errors(truth, results).items()}


def test_each_type_once(scene):
    truth, results = scene(OBJECTS, sum(MISTAKES.values(), []), images=6)
    assert counts(truth, results) == dict.fromkeys(TYPES, 1)


@pytest.mark.parametrize('kind', TYPES)
def test_each_type_alone(scene, kind):
    image = list(MISTAKES).index(kind) + 1
    truth, results = scene(OBJECTS[image - 1:image], MISTAKES[kind], images=6)
    assert counts(truth, results) == dict(dict.fromkeys(TYPES, 0), **{kind: 1})


@pytest.mark.parametrize('detection, kind', [
    ((1, 1, 100, 100, 40, 4, 0.5), 'localisation'),  # IoU 0.1 with its own class
    ((1, 1, 100, 100, 40, 3.9, 0.5), 'background'),
    ((1, 2, 100, 100, 40, 4, 0.5), 'background'),  # IoU 0.1 with another class
    ((1, 2, 100, 100, 40, 4.1, 0.5), 'both'),
    ((1, 2, 100, 100, 40, 20, 0.5), 'classification'),  # IoU 0.5
    ((1, 2, 100, 100, 40, 19.9, 0.5), 'both'),
    ((2, 1, 100, 100, 40, 40, 0.5), 'background'),  # an image without objects
])
def test_the_borders_between_the_types(scene, detection, kind):
    truth, results = scene(OBJECTS[:1], [detection], images=2)
    about = kind in ('localisation', 'classification')
    assert counts(truth, results) == {**dict.fromkeys(TYPES, 0), kind: 1, 'missed': int(not about)}


def test_a_badly_placed_one_of_the_right_class_is_not_called_misnamed(scene):
    truth, results = scene([(1, 1, 100, 100, 40, 40), (1, 2, 100, 100, 40, 14)], [(1, 1, 100, 100, 40, 13, 0.5)])
    assert counts(truth, results)['localisation'] == 1  # IoU 0.3 with its own class, 0.9 with the other


def test_what_each_mistake_costs_by_hand(scene):
    """Two classes of two objects; AP50 over 101 recall points, 51 of which lie at or below a half."""
    objects = [(1, 1, 0, 0, 40, 40), (2, 1, 0, 0, 40, 40), (1, 2, 200, 200, 40, 40), (2, 2, 200, 200, 40, 40)]
    truth, results = scene(objects, [
        (1, 1, 0, 0, 40, 40, 0.9),  # right
        (1, 1, 300, 0, 40, 40, 0.95),  # background, and the best score of class 1
        (2, 2, 0, 0, 40, 40, 0.5),  # an object of class 1 that is called 2
        (1, 2, 200, 200, 40, 40, 0.9),  # right
    ], images=2)
    half = 51 / 101
    assert operating_point(truth, results, score=0)['overall']['tp'] == 2
    errors = detection_errors(truth, results)
    base = (half * 0.5 + half) / 2  # class 1: 1 of 2; class 2: 1 of 1
    # class 1: right at 0.9 and at 0.5 behind one wrong: 2 of 3 at full recall, and the best precision at a half too
    assert errors['classification'] == dict(count=1, ap_lost=pytest.approx((2 / 3 + half) / 2 - base))
    assert errors['background'] == dict(count=1, ap_lost=pytest.approx((half + half) / 2 - base))
    # the second object of class 2 is missed; without it class 2 is perfect; that of class 1 has been seen and misnamed
    assert errors['missed'] == dict(count=1, ap_lost=pytest.approx((half * 0.5 + 1) / 2 - base))
    for kind in ('localisation', 'both', 'duplicate'):
        assert errors[kind] == dict(count=0, ap_lost=0)


def test_an_object_is_mended_once_and_by_the_best_score(scene):
    bad = [(1, 1, 0, 0, 40, 12, 0.9), (1, 1, 0, 0, 40, 13, 0.8), (1, 1, 0, 0, 12, 40, 0.7)]
    truth, results = scene([(1, 1, 0, 0, 40, 40)], bad)
    errors = detection_errors(truth, results)
    assert errors['localisation'] == dict(count=3, ap_lost=pytest.approx(1))  # one right, none wrong


def test_the_best_score_of_those_about_an_object_is_the_one_that_counts(scene):
    truth, results = scene([(1, 1, 0, 0, 40, 40), (2, 1, 0, 0, 40, 40)], [
        (1, 1, 0, 0, 40, 13, 0.5), (1, 1, 0, 0, 40, 12, 0.9),  # both badly placed
        (2, 1, 0, 0, 40, 40, 0.8), (2, 1, 300, 300, 40, 40, 0.7)], images=2)
    # before: wrong, right, wrong, wrong; after: right, right, wrong
    assert detection_errors(truth, results)['localisation'] == dict(count=2, ap_lost=pytest.approx(1 - 51 / 101 / 2))


def test_errors_about_a_found_object_are_left_out_when_mended(scene):
    truth, results = scene([(1, 1, 0, 0, 40, 40), (2, 1, 0, 0, 40, 40)], [
        (1, 1, 0, 0, 40, 12, 0.9), (1, 1, 0, 0, 40, 40, 0.8)], images=2)
    errors = detection_errors(truth, results)
    assert errors['localisation'] == dict(count=1, ap_lost=pytest.approx(51 / 101 * (1 - 0.5)))
    assert errors['missed']['count'] == 1


def test_a_detector_that_finds_nothing_only_misses(scene):
    truth, _ = scene(OBJECTS, images=6)
    assert detection_errors(truth, [])['missed'] == dict(count=6, ap_lost=0)
    assert counts(scene([])[0], []) == dict.fromkeys(TYPES, 0)


def test_a_class_that_is_missed_altogether_stays_at_zero(scene):
    truth, results = scene([(1, 1, 0, 0, 40, 40), (1, 2, 100, 100, 40, 40)], [(1, 2, 100, 100, 40, 40, 0.9)])
    assert detection_errors(truth, results)['missed'] == dict(count=1, ap_lost=0)


def test_crowds_are_left_out(scene):
    truth, results = scene([(1, 1, 300, 300, 40, 40)], [(1, 1, 120, 120, 20, 20, 0.9)],
                           crowds=[(1, 1, 100, 100, 100, 100)])
    assert counts(truth, results) == dict(dict.fromkeys(TYPES, 0), missed=1)


@pytest.mark.parametrize('seed', range(6))
def test_the_wrong_ones_are_those_of_the_operating_point(random_scene, seed):
    truth, results = random_scene(seed)
    errors = detection_errors(truth, results)
    overall = operating_point(truth, results, score=0)['overall']
    assert sum(errors[kind]['count'] for kind in TYPES[:-1]) == overall['fp']
    assert errors['missed']['count'] <= overall['fn']
    assert all(error['ap_lost'] >= -1e-12 and (error['count'] or not error['ap_lost']) for error in errors.values())
