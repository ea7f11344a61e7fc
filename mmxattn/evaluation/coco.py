"""COCO box metrics computed by pycocotools from plain dicts, without its printed output.

Ground truth is a dict of ``images`` (id, width, height), ``categories`` (id, name) and ``annotations`` (id from 1,
image_id, category_id, bbox as x, y, width, height in pixels, area, iscrowd). Results are dicts of image_id,
category_id, bbox and score. Metrics use IoU 0.50 to 0.95, 100 detections per image and class, and 101 recall points.
"""
import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

METRICS = {  # name -> curve, IoU threshold (None for the mean over all), object size
    'AP': ('precision', None, 'all'),
    'AP50': ('precision', 0.5, 'all'),
    'AP75': ('precision', 0.75, 'all'),
    'AP_S': ('precision', None, 'small'),
    'AP_M': ('precision', None, 'medium'),
    'AP_L': ('precision', None, 'large'),
    'AR': ('recall', None, 'all'),
    'AR_S': ('recall', None, 'small'),
    'AR_M': ('recall', None, 'medium'),
    'AR_L': ('recall', None, 'large'),
}


def match_detections(
    ground_truth: dict,
    results: Sequence[dict],
    ious: Sequence[float] | None = None,
    max_detections: int = 100,
    by_size: bool = True,
) -> COCOeval:
    """Match detections with objects in each image and class, as pycocotools does.

    In the order of their scores, detections are matched with the unmatched object of their class that has the highest
    IoU, if it reaches the threshold. Detections that match only a crowd, or an object outside of the size range, are
    ignored.

    Args:
        ground_truth: COCO-style ground truth.
        results: COCO-style results.
        ious: IoU thresholds. Defaults to the ten thresholds of COCO.
        max_detections: Maximum number of detections per image and class; the highest scores are kept.
        by_size: Whether to also match small, medium and large objects separately.

    Returns:
        The evaluation, matched but not accumulated.

    Raises:
        ValueError: If a result has an image or category that is not in the ground truth.
    """
    _check_ids(ground_truth, results)
    with redirect_stdout(io.StringIO()):
        objects = _to_coco(ground_truth, ground_truth['annotations'])
        detections = _to_coco(ground_truth, [_to_annotation(index, result) for index, result in enumerate(results, 1)])
        evaluation = COCOeval(objects, detections, 'bbox')
        evaluation.params.maxDets = [max_detections]
        if ious is not None:
            evaluation.params.iouThrs = np.array(ious)
        if not by_size:
            evaluation.params.areaRng = evaluation.params.areaRng[:1]
            evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]  # 'all'
        evaluation.evaluate()
    return evaluation


def iter_matches(evaluation: COCOeval, size: str = 'all') -> Iterator[tuple[int, int, dict]]:
    """Iterate over the matches of each class and image that has detections or objects.

    Args:
        evaluation: Matched evaluation.
        size: Object size, 'all', 'small', 'medium' or 'large'.

    Yields:
        Class index, image index, and pycocotools' record with ``dtIds``, ``dtScores``, ``dtMatches``, ``dtIgnore``,
        ``gtIds``, ``gtMatches`` and ``gtIgnore``. The first axis of matches and ``dtIgnore`` are IoU thresholds.
    """
    params = evaluation.params
    num_images, num_sizes = len(params.imgIds), len(params.areaRng)
    for class_index in range(len(params.catIds)):
        start = (class_index * num_sizes + params.areaRngLbl.index(size)) * num_images
        for image_index, record in enumerate(evaluation.evalImgs[start:start + num_images]):
            if record:
                yield class_index, image_index, record


def accumulate(evaluation: COCOeval) -> COCOeval:
    """Compute precision and recall of a matched evaluation in place, and return it."""
    with redirect_stdout(io.StringIO()):
        evaluation.accumulate()
    return evaluation


def coco_metrics(evaluation: COCOeval) -> dict[str, float | None]:
    """Compute ``METRICS`` over all classes.

    Args:
        evaluation: Accumulated evaluation.

    Returns:
        Metrics from 0 to 1; None if there is no object of the size.
    """
    return {name: _mean(_curve(evaluation, name)) for name in METRICS}


def coco_metrics_per_class(evaluation: COCOeval) -> dict[str, dict | None]:
    """Compute ``METRICS`` and the number of objects of each class.

    Args:
        evaluation: Accumulated evaluation.

    Returns:
        Metrics and ``instances`` by class name; None for classes without objects.
    """
    names = {category['id']: category['name'] for category in evaluation.cocoGt.dataset['categories']}
    classes = {}
    for index, category in enumerate(evaluation.params.catIds):
        objects = evaluation.cocoGt.getAnnIds(catIds=[category], iscrowd=False)
        values = {name: _mean(_curve(evaluation, name)[..., index]) for name in METRICS}
        classes[names[category]] = {**values, 'instances': len(objects)} if objects else None
    return classes


def precision_curve(evaluation: COCOeval, iou: float) -> list[float]:
    """Average the precision at each recall over the classes that have objects.

    Args:
        evaluation: Accumulated evaluation.
        iou: One of its IoU thresholds.

    Returns:
        Precision at recall 0, 0.01, ..., 1; empty if there are no objects.
    """
    precision = evaluation.eval['precision'][_iou_index(evaluation, iou), :, :, 0, 0]  # (101, classes)
    known = precision[:, precision[0] > -1]
    return known.mean(1).tolist() if known.size else []


def _check_ids(ground_truth: dict, results: Sequence[dict]) -> None:
    for key, kind in (('image_id', 'images'), ('category_id', 'categories')):
        known = {entry['id'] for entry in ground_truth[kind]}
        unknown = next((result[key] for result in results if result[key] not in known), None)
        if unknown is not None:
            raise ValueError(f'{key} of each result must be among the {len(known)} {kind} of the ground truth, got '
                             f'{unknown!r}: give results of the same dataset.')


def _to_coco(ground_truth: dict, annotations: Sequence[dict]) -> COCO:
    coco = COCO()
    coco.dataset = {**ground_truth, 'annotations': [dict(ann) for ann in annotations]}  # pycocotools modifies them
    coco.createIndex()
    return coco


def _to_annotation(index: int, result: dict) -> dict:
    width, height = result['bbox'][2:]
    return {**result, 'id': index, 'area': width * height, 'iscrowd': 0}


def _iou_index(evaluation: COCOeval, iou: float) -> int:
    return int(np.argmin(np.abs(np.asarray(evaluation.params.iouThrs) - iou)))


def _curve(evaluation: COCOeval, name: str) -> np.ndarray:
    """Return the values whose mean is the metric: (IoUs, recalls, classes), or (IoUs, classes) for recall."""
    kind, iou, size = METRICS[name]
    values = evaluation.eval[kind][..., evaluation.params.areaRngLbl.index(size), 0]
    return values if iou is None else values[[_iou_index(evaluation, iou)]]


def _mean(values: np.ndarray) -> float | None:
    known = values[values > -1]  # pycocotools returns -1 where there are no objects
    return float(known.mean()) if known.size else None
