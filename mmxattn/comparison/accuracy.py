"""How good a trained recipe is, and whether the difference to another one is more than the luck of the images."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..evaluation.bootstrap import paired_bootstrap
from ..evaluation.coco import METRICS, accumulate, coco_metrics, coco_per_class, match, precision_curve
from ..evaluation.detection_errors import detection_errors
from ..evaluation.operating_point import operating_point
from ..evaluation.resampled_ap import ResampledMetrics
from ..evaluation.segmentation import class_metrics, segmentation_metrics
from ..evaluation.small_iou import small_of_counts
from ..utils.config import fingerprint
from ..utils.json_files import write_json
from .predictions import Detections, Segmentations, predict

RESULT = 'accuracy.json'  # written last: a folder that has it is whole
VERSION = 1  # raise it whenever a number changes its meaning: old folders are then measured anew
CURVES = (0.5, 0.75)  # IoU
SEGMENTATION = ('mIoU', 'aAcc', 'mAcc', 'mIoU@small')
REPORTED = {  # taken as the toolbox's evaluator rounds them: they have no counterpart here
    'pascal_voc/mAP': 'mAP',
    'coco/segm_mAP': 'mask AP', 'coco/segm_mAP_50': 'mask AP50', 'coco/segm_mAP_75': 'mask AP75',
    'coco/segm_mAP_s': 'mask AP_S', 'coco/segm_mAP_m': 'mask AP_M', 'coco/segm_mAP_l': 'mask AP_L',
}


@dataclass
class Accuracy:
    """What a recipe with trained weights scores.

    Attributes:
        task: 'detection' or 'segmentation'.
        classes: Their names.
        images: Number of images it was measured on.
        metrics: By short name. Detection: AP, AP50, AP75, AP_S, AP_M, AP_L, AR, AR_S, AR_M, AR_L as COCO defines them
            (0 to 1, at most 100 detections an image and class), mAP for a recipe with VOCMetric, mask AP and so on for
            one that measures masks. Segmentation: mIoU, aAcc, mAcc, mIoU@small in percent. None: nothing to measure.
        per_class: By class name; None for a class that is absent. Detection: the metrics above, ``instances``.
            Segmentation: IoU, Acc, ``instances`` (connected components), ``small_instances``, ``small`` (is it one of
            those of mIoU@small).
        reported: What the recipe's own evaluator says, under the toolbox's names and rounded as it does. Where the data
            set hands out some of its images only, CocoMetric counts the others as missed; the metrics do not.
        operating_point: Detection only, see :func:`mmxattn.evaluation.operating_point.operating_point`.
        errors: Detection only, see :func:`mmxattn.evaluation.detection_errors.detection_errors`.
        curves: Detection only: ``recall``, 101 points; ``0.5`` and ``0.75``, the precision there at these IoUs, the
            mean over classes.
        folder: Where the predictions lie.
    """

    task: str
    classes: list
    images: int
    metrics: dict
    per_class: dict
    reported: dict
    operating_point: dict = None
    errors: dict = None
    curves: dict = None
    folder: str = ''

    @classmethod
    def from_dict(cls, entry):
        """The inverse of ``dataclasses.asdict``."""
        return cls(**entry)


def evaluate(cfg, checkpoint, folder, progress=None):
    """Measure a recipe with trained weights on its test data.

    The result and the predictions are kept in ``folder``; asked again for the same recipe and the same weights, it is
    read from there.

    Args:
        cfg (mmengine.config.Config): The recipe of a detector or a segmentor.
        checkpoint (str | Path): Its weights.
        folder (str | Path): For this recipe and these weights; made where it is absent.
        progress (Callable[[int, int], object], optional): Called with the images done and their total.

    Returns:
        Accuracy: The result.

    Raises:
        ValueError: What :func:`mmxattn.comparison.predictions.predict` raises.
    """
    folder = Path(folder)
    if not Path(checkpoint).is_file():
        raise ValueError(f'There is no checkpoint {checkpoint}: give the path of a .pth file, or train {cfg.filename}.')
    key = dict(version=VERSION, recipe=fingerprint(cfg), checkpoint=_digest(checkpoint))
    kept = _kept(folder, key)
    if kept is not None:
        return kept
    predictions, reported = predict(cfg, checkpoint, progress)
    accuracy = measure(predictions, reported)
    accuracy.folder = str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULT).unlink(missing_ok=True)  # the old result does not go with the new predictions
    predictions.save(folder)
    write_json(folder / RESULT, dict(key=key, accuracy=asdict(accuracy)))
    return accuracy


def measure(predictions, reported):
    """Compute every number of :class:`Accuracy` from predictions.

    Args:
        predictions (Detections | Segmentations): As :func:`mmxattn.comparison.predictions.predict` returns them.
        reported (dict[str, float]): What the recipe's own evaluator says.

    Returns:
        Accuracy: Without its folder.
    """
    return (_of_detections if isinstance(predictions, Detections) else _of_segmentations)(predictions, reported)


def paired_difference(first, second, metric_names=None, resamples=1000, seed=0, progress=None):
    """Bootstrap intervals for the difference between two models on the same images.

    Args:
        first (Accuracy): Of the stock recipe.
        second (Accuracy): Of the other one.
        metric_names (Sequence[str], optional): Which metrics; by default all that can be computed for drawings of
            images: the COCO ones, or mIoU, aAcc, mAcc and mIoU@small.
        resamples (int): Number of drawings of the images.
        seed (int): Of the drawings.
        progress (Callable[[int, int], object], optional): Called with the drawings done and their total.

    Returns:
        dict[str, Interval]: By metric, see :class:`mmxattn.evaluation.bootstrap.Interval`; in the metric's unit,
        second minus first. A metric without a value is left out.

    Raises:
        ValueError: The two were not measured on the same data, or a metric cannot be drawn again.
    """
    possible = tuple(METRICS) if first.task == 'detection' else SEGMENTATION
    names = tuple(metric_names or possible)
    if not set(names) <= set(possible):
        raise ValueError(f'No interval can be drawn for {sorted(set(names) - set(possible))}: take some of {possible}.')
    if first.task != second.task:
        raise ValueError(f'{first.folder} holds {first.task}, {second.folder} {second.task}: compare like with like.')
    load, metrics = (Detections.load, _drawn_ap) if first.task == 'detection' else (Segmentations.load, _drawn_iou)
    one, other = load(first.folder), load(second.folder)
    if not _same_data(one, other):
        raise ValueError(f'{first.folder} and {second.folder} were not measured on the same data: a paired difference '
                         f'needs the same images, classes and annotations.')
    return paired_bootstrap(metrics(one, names), metrics(other, names), first.images, resamples, seed, progress)


def _of_detections(predictions, reported):
    truth, results = predictions.ground_truth, predictions.results
    evaluation = accumulate(match(truth, results))
    curves = {str(iou): precision_curve(evaluation, iou) for iou in CURVES}
    return Accuracy(
        task='detection',
        classes=[category['name'] for category in truth['categories']],
        images=len(truth['images']),
        metrics={**coco_metrics(evaluation),
                 **{short: reported[name] for name, short in REPORTED.items() if name in reported}},
        per_class=coco_per_class(evaluation),
        reported=reported,
        operating_point=operating_point(truth, results),
        errors=detection_errors(truth, results),
        curves=dict(recall=evaluation.params.recThrs.tolist(), **curves))


def _of_segmentations(predictions, reported):
    areas, components = predictions.areas.sum(0), predictions.components.sum(0)
    small = small_of_counts(components)
    values = class_metrics(areas)
    per_class = {name: dict(IoU=_number(values['IoU'][index]), Acc=_number(values['Acc'][index]),
                            instances=int(components[0, index]), small_instances=int(components[1, index]),
                            small=index in small) if areas[1, index] else None
                 for index, name in enumerate(predictions.classes)}
    return Accuracy(
        task='segmentation',
        classes=predictions.classes,
        images=len(predictions.images),
        metrics={name: _number(value) for name, value in segmentation_metrics(areas, small).items()},
        per_class=per_class,
        reported=reported)


def _drawn_ap(predictions, names):
    return ResampledMetrics(match(predictions.ground_truth, predictions.results), names)


def _drawn_iou(predictions, names):
    """Metrics of drawings of the images, these in the order of their paths."""
    small = small_of_counts(predictions.components.sum(0))
    areas = predictions.areas[np.argsort(predictions.images)].astype(float)  # exact up to 2^53 pixels

    def metrics(weights):
        values = segmentation_metrics(np.tensordot(weights, areas, 1), small)
        return {name: values[name] for name in names}

    return metrics


def _same_data(one, other):
    if isinstance(one, Detections):
        return one.ground_truth == other.ground_truth
    orders = [np.argsort(each.images) for each in (one, other)]
    labels = [each.areas[order, 3] for each, order in zip((one, other), orders)]
    return sorted(one.images) == sorted(other.images) and one.classes == other.classes and np.array_equal(*labels)


def _kept(folder, key):
    """What an earlier call left, if it is of the same recipe and weights, and whole."""
    try:
        entry = json.loads((folder / RESULT).read_text())
    except FileNotFoundError:
        return None
    accuracy = Accuracy.from_dict(entry['accuracy'])
    kind = Detections if accuracy.task == 'detection' else Segmentations
    if entry['key'] != key or not all((folder / name).is_file() for name in kind.FILES):
        return None
    accuracy.folder = str(folder)  # it may have been moved
    return accuracy


def _digest(path):
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


def _number(value):
    return None if math.isnan(value) else float(value)
