"""Evaluate a trained model, and compare two models on the same images."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config

from ..evaluation.bootstrap import Interval, paired_bootstrap
from ..evaluation.coco import (
    METRICS,
    accumulate,
    coco_metrics,
    coco_metrics_per_class,
    match_detections,
    precision_curve,
)
from ..evaluation.detection_errors import detection_errors
from ..evaluation.operating_point import operating_point
from ..evaluation.resampled_ap import ResampledMetrics
from ..evaluation.segmentation import class_metrics, segmentation_metrics
from ..evaluation.small_iou import select_small_classes
from ..utils.atomic_files import write_json
from ..utils.config import fingerprint
from .predictions import Detections, Segmentations, predict

RESULT = 'accuracy.json'  # written last, so a folder that has it is complete
VERSION = 2  # increase when the meaning of a number or key changes, so that old results are not reused
CURVE_IOUS = (0.5, 0.75)
SEGMENTATION_METRICS = ('mIoU', 'aAcc', 'mAcc', 'mIoU@small')
REPORTED_METRICS = {  # taken from the toolbox's evaluator, with its rounding
    'pascal_voc/mAP': 'mAP',
    'coco/segm_mAP': 'mask AP', 'coco/segm_mAP_50': 'mask AP50', 'coco/segm_mAP_75': 'mask AP75',
    'coco/segm_mAP_s': 'mask AP_S', 'coco/segm_mAP_m': 'mask AP_M', 'coco/segm_mAP_l': 'mask AP_L',
}


@dataclass
class Accuracy:
    """Accuracy of a model with trained weights.

    Attributes:
        task: 'detection' or 'segmentation'.
        classes: Names of the classes.
        num_images: Number of evaluated images.
        metrics: Metrics by short name; None where a metric is undefined. Detection: AP, AP50, AP75, AP_S, AP_M, AP_L,
            AR, AR_S, AR_M, AR_L as defined by COCO (0 to 1, 100 detections per image and class), mAP for configs with
            VOCMetric, and mask AP for instance segmentation. Segmentation: mIoU, aAcc, mAcc, mIoU@small in percent.
        per_class: Metrics by class name; None for absent classes. Detection: the COCO metrics and ``instances``.
            Segmentation: IoU, Acc, ``instances`` (connected components), ``small_instances``, and ``small`` (whether
            the class counts for mIoU@small).
        reported: Metrics of the config's own evaluator under the toolbox's names and with its rounding. If a dataset
            yields only some of its images, CocoMetric counts the others as missed; ``metrics`` does not.
        operating_point: For detection, see :func:`mmxattn.evaluation.operating_point.operating_point`.
        errors: For detection, see :func:`mmxattn.evaluation.detection_errors.detection_errors`.
        curves: For detection: ``recall`` with 101 points, and the precision at these points for IoU ``0.5`` and
            ``0.75``, averaged over classes.
        folder: Folder of the predictions.
    """

    task: str
    classes: list
    num_images: int
    metrics: dict
    per_class: dict
    reported: dict
    operating_point: dict | None = None
    errors: dict | None = None
    curves: dict | None = None
    folder: str = ''


def evaluate(
    cfg: Config,
    checkpoint: str | Path,
    folder: str | Path,
    progress: Callable[[int, int], object] | None = None,
) -> Accuracy:
    """Evaluate a trained model on its test data.

    The result and the predictions are cached in ``folder`` and reused for the same config and weights.

    Args:
        cfg: Config of a detector or segmentor.
        checkpoint: Weights of the model.
        folder: Folder of the cache, one per config and checkpoint.
        progress: Callback that receives the number of processed images and the total.

    Returns:
        The accuracy of the model.

    Raises:
        ValueError: If there is no checkpoint, or for the reasons given at
            :func:`mmxattn.comparison.predictions.predict`.
    """
    folder = Path(folder)
    if not Path(checkpoint).is_file():
        raise ValueError(f'There is no checkpoint {checkpoint}: give the path of a .pth file, or train {cfg.filename}.')
    key = {'version': VERSION, 'config': fingerprint(cfg), 'checkpoint': _file_digest(checkpoint)}
    cached = _load_cached(folder, key)
    if cached is not None:
        return cached
    predictions, reported = predict(cfg, checkpoint, progress)
    accuracy = compute_accuracy(predictions, reported)
    accuracy.folder = str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULT).unlink(missing_ok=True)  # never leave an old result next to new predictions
    predictions.save(folder)
    write_json(folder / RESULT, {'key': key, 'accuracy': asdict(accuracy)})
    return accuracy


def compute_accuracy(predictions: Detections | Segmentations, reported: dict[str, float]) -> Accuracy:
    """Compute all attributes of :class:`Accuracy` except ``folder``.

    Args:
        predictions: Predictions as returned by :func:`mmxattn.comparison.predictions.predict`.
        reported: Metrics of the config's own evaluator.

    Returns:
        The accuracy.
    """
    if isinstance(predictions, Detections):
        return _detection_accuracy(predictions, reported)
    return _segmentation_accuracy(predictions, reported)


def paired_difference(
    baseline: Accuracy,
    candidate: Accuracy,
    metric_names: Sequence[str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, Interval]:
    """Bootstrap the difference between two models over the images they were both evaluated on.

    Args:
        baseline: Accuracy of the baseline.
        candidate: Accuracy of the candidate.
        metric_names: Metrics to compare. Defaults to all metrics that can be resampled: those of COCO, or mIoU, aAcc,
            mAcc and mIoU@small.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resampling.
        progress: Callback that receives the number of finished resamples and the total.

    Returns:
        The interval of each defined metric, candidate minus baseline, in the metric's unit.

    Raises:
        ValueError: If the models were evaluated on different data, or a metric cannot be resampled.
    """
    possible = tuple(METRICS) if baseline.task == 'detection' else SEGMENTATION_METRICS
    names = tuple(metric_names or possible)
    if not set(names) <= set(possible):
        raise ValueError(f'metric_names must be among {possible}, got {sorted(set(names) - set(possible))}.')
    if baseline.task != candidate.task:
        raise ValueError(f'Both models must have the same task: {baseline.folder} has {baseline.task} results, '
                         f'{candidate.folder} has {candidate.task} results.')
    kind, resampled = (Detections, _resampled_ap) if baseline.task == 'detection' else (Segmentations, _resampled_iou)
    first, second = kind.load(baseline.folder), kind.load(candidate.folder)
    if not _have_same_data(first, second):
        raise ValueError(f'{baseline.folder} and {candidate.folder} must have the same images, classes and '
                         f'annotations for a paired difference: evaluate both on the same dataset.')
    return paired_bootstrap(resampled(first, names), resampled(second, names), baseline.num_images, resamples, seed,
                            progress)


def _detection_accuracy(predictions: Detections, reported: dict) -> Accuracy:
    ground_truth, results = predictions.ground_truth, predictions.results
    evaluation = accumulate(match_detections(ground_truth, results))
    curves = {str(iou): precision_curve(evaluation, iou) for iou in CURVE_IOUS}
    others = {short: reported[name] for name, short in REPORTED_METRICS.items() if name in reported}
    return Accuracy(
        task='detection',
        classes=[category['name'] for category in ground_truth['categories']],
        num_images=len(ground_truth['images']),
        metrics={**coco_metrics(evaluation), **others},
        per_class=coco_metrics_per_class(evaluation),
        reported=reported,
        operating_point=operating_point(ground_truth, results),
        errors=detection_errors(ground_truth, results),
        curves={'recall': evaluation.params.recThrs.tolist(), **curves})


def _segmentation_accuracy(predictions: Segmentations, reported: dict) -> Accuracy:
    areas, components = predictions.areas.sum(0), predictions.components.sum(0)
    small = select_small_classes(components)
    values = class_metrics(areas)
    per_class = {}
    for index, name in enumerate(predictions.classes):
        per_class[name] = {
            'IoU': _nan_to_none(values['IoU'][index]),
            'Acc': _nan_to_none(values['Acc'][index]),
            'instances': int(components[0, index]),
            'small_instances': int(components[1, index]),
            'small': index in small,
        } if areas[1, index] else None  # neither predicted nor in the ground truth
    return Accuracy(
        task='segmentation',
        classes=predictions.classes,
        num_images=len(predictions.images),
        metrics={name: _nan_to_none(value) for name, value in segmentation_metrics(areas, small).items()},
        per_class=per_class,
        reported=reported)


def _resampled_ap(predictions: Detections, names: Sequence[str]) -> ResampledMetrics:
    return ResampledMetrics(match_detections(predictions.ground_truth, predictions.results), names)


def _resampled_iou(predictions: Segmentations, names: Sequence[str]) -> Callable:
    """Return a function from image weights to metrics, with the images sorted by path."""
    small = select_small_classes(predictions.components.sum(0))
    areas = predictions.areas[np.argsort(predictions.images)].astype(float)  # exact up to 2^53 pixels

    def metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        values = segmentation_metrics(np.tensordot(weights, areas, 1), small)
        return {name: values[name] for name in names}

    return metrics


def _have_same_data(first: Detections | Segmentations, second: Detections | Segmentations) -> bool:
    if isinstance(first, Detections):
        return first.ground_truth == second.ground_truth
    targets = [own.areas[np.argsort(own.images), 3] for own in (first, second)]
    same_images = sorted(first.images) == sorted(second.images)
    return same_images and first.classes == second.classes and np.array_equal(*targets)


def _load_cached(folder: Path, key: dict) -> Accuracy | None:
    """Load a complete result of the same config and weights, or return None."""
    try:
        entry = json.loads((folder / RESULT).read_text())
    except FileNotFoundError:
        return None
    if entry['key'] != key:
        return None
    accuracy = Accuracy(**entry['accuracy'])
    kind = Detections if accuracy.task == 'detection' else Segmentations
    if not all((folder / name).is_file() for name in kind.FILES):
        return None
    accuracy.folder = str(folder)  # the folder may have been moved
    return accuracy


def _file_digest(path: str | Path) -> str:
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


def _nan_to_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
