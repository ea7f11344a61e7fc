import numpy as np
import pytest

from mmxattn.evaluation.bootstrap import Interval, paired_bootstrap
from mmxattn.evaluation.coco import accumulate, coco_metrics, match_detections
from mmxattn.evaluation.resampled_ap import ResampledMetrics


def mean_of(values, name='score'):
    """Return a metric that is the mean of one number per image."""
    values = np.asarray(values, float)
    return lambda weights: {name: weights @ values / weights.sum(1)}


def test_interval_matches_plain_loop():
    before, after = np.random.RandomState(0).rand(2, 40)
    rng, differences = np.random.default_rng(3), []
    for _ in range(120):
        images = np.repeat(np.arange(40), rng.multinomial(40, [1 / 40] * 40))
        differences.append(after[images].mean() - before[images].mean())
    found = paired_bootstrap(mean_of(before), mean_of(after), 40, resamples=120, seed=3)['score']
    assert found.difference == pytest.approx(after.mean() - before.mean())
    assert [found.lower, found.upper] == pytest.approx(np.percentile(differences, [2.5, 97.5]).tolist())
    assert (found.resamples, found.seed) == (120, 3)


def test_width_matches_normal_distribution():
    """For a mean of n differences, the width is 2 x 1.96 standard deviations / sqrt(n)."""
    difference = np.random.RandomState(1).normal(0.2, 1, 400)
    found = paired_bootstrap(mean_of(np.zeros(400)), mean_of(difference), 400, resamples=4000)['score']
    assert found.upper - found.lower == pytest.approx(2 * 1.96 * difference.std() / 20, rel=0.05)
    assert found.lower < found.difference < found.upper


def test_shared_variation_does_not_widen_interval():
    hardness = np.random.RandomState(2).normal(0, 5, 60)
    found = paired_bootstrap(mean_of(hardness), mean_of(hardness + 0.1), 60, resamples=50)['score']
    assert [found.difference, found.lower, found.upper] == pytest.approx([0.1] * 3)


def test_model_against_itself_is_exactly_zero(random_scene):
    metrics = ResampledMetrics(match_detections(*random_scene(0)))
    found = paired_bootstrap(metrics, metrics, 12, resamples=30)
    assert set(found) == {'AP', 'AP50', 'AP75', 'AP_S', 'AP_M', 'AP_L', 'AR', 'AR_S', 'AR_M', 'AR_L'}
    assert set(found.values()) == {Interval(0.0, 0.0, 0.0, 30, 0)}


def test_difference_matches_coco_metrics(random_scene):
    truth, good = random_scene(3, images=30, spread=0.05)
    bad = random_scene(3, images=30, spread=0.25)[1]
    evaluations = [match_detections(truth, results) for results in (bad, good)]
    found = paired_bootstrap(*map(ResampledMetrics, evaluations), 30, resamples=200)
    before, after = (coco_metrics(accumulate(evaluation)) for evaluation in evaluations)
    for name, interval in found.items():
        assert interval.difference == pytest.approx(after[name] - before[name], abs=1e-12)
    assert 0 < found['AP'].lower < found['AP'].difference < found['AP'].upper < 1


def test_order_of_images_does_not_matter(random_scene):
    truth, results = random_scene(4)
    worse = [result for result in results if result['image_id'] % 3]
    mixed = dict(truth, images=truth['images'][::-1], annotations=truth['annotations'][::-1])

    def found(truth, *models):
        metrics = (ResampledMetrics(match_detections(truth, results)) for results in models)
        return paired_bootstrap(*metrics, 12, resamples=40)

    assert found(truth, worse, results) == found(mixed, worse[::-1], results[::-1])


def test_seed_is_reproducible_and_progress_is_reported():
    values, steps = np.random.RandomState(5).rand(2, 30), []
    first, again, other = (paired_bootstrap(*map(mean_of, values), 30, resamples=120, seed=seed,
                                            progress=lambda *step: steps.append(step)) for seed in (0, 0, 1))
    assert first == again and first['score'].lower != other['score'].lower
    assert steps[:3] == [(50, 120), (100, 120), (120, 120)]


def test_undefined_metrics_and_resamples_are_dropped():
    def metrics(weights):
        return dict(never=np.full(len(weights), np.nan), often=np.where(weights[:, 0] > 0, 1.0, np.nan))

    found = paired_bootstrap(metrics, metrics, 5, resamples=60)
    assert found == dict(often=Interval(0.0, 0.0, 0.0, 60, 0))


@pytest.mark.parametrize('images, resamples', [(0, 10), (10, 0)])
def test_empty_resampling_is_rejected(images, resamples):
    with pytest.raises(ValueError, match=f'got {images} and {resamples}'):
        paired_bootstrap(None, None, images, resamples)
