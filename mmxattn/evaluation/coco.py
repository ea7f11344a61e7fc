"""The official COCO evaluation of boxes: pycocotools, from plain dicts and without what it prints.

Ground truth is a dict of ``images`` (id, width, height), ``categories`` (id, name) and ``annotations`` (id from 1,
image_id, category_id, bbox as x, y, width, height in pixels, area, iscrowd). Results are dicts of image_id,
category_id, bbox and score. IoU 0.50 to 0.95, at most 100 detections an image and class, 101 recall points.
"""
import io
from contextlib import redirect_stdout

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

METRICS = {  # name -> curve, IoU (None: all ten), size of the objects
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


def check(ground_truth, results):
    """Raise ValueError if a result is on an image or of a class that the ground truth has not."""
    for key, kind in (('image_id', 'images'), ('category_id', 'categories')):
        known = {entry['id'] for entry in ground_truth[kind]}
        strange = next((result[key] for result in results if result[key] not in known), None)
        if strange is not None:
            raise ValueError(f'A result has {key}={strange!r}, which is not among the {len(known)} {kind} of the '
                             f'ground truth: give results of the same data set.')


def match(ground_truth, results, ious=None, max_detections=100, by_size=True):
    """Match detections with objects, image by image and class by class.

    pycocotools' rule: detections choose in the order of their scores; each takes the object of its class with the
    highest IoU among those not taken yet, if that IoU reaches the threshold. What fits only a crowd, or an object
    outside the size range, counts neither as right nor as wrong.

    Args:
        ground_truth (dict): COCO-style, see above.
        results (list[dict]): COCO-style, see above.
        ious (list[float], optional): IoU thresholds; COCO's ten by default.
        max_detections (int): Of an image and class; the best scores stay.
        by_size (bool): Also among the small, the medium and the large objects by themselves.

    Returns:
        pycocotools.cocoeval.COCOeval: Matched, not accumulated.

    Raises:
        ValueError: A result is on an image or of a class that the ground truth has not.
    """
    check(ground_truth, results)
    with redirect_stdout(io.StringIO()):
        objects = _indexed(ground_truth, ground_truth['annotations'])
        detections = _indexed(ground_truth, [_detection(number, result) for number, result in enumerate(results, 1)])
        evaluation = COCOeval(objects, detections, 'bbox')
        evaluation.params.maxDets = [max_detections]
        if ious is not None:
            evaluation.params.iouThrs = np.array(ious)
        if not by_size:
            evaluation.params.areaRng = evaluation.params.areaRng[:1]
            evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]  # 'all'
        evaluation.evaluate()
    return evaluation


def matched(evaluation):
    """pycocotools' records of the matches over all sizes, one a class and image in which there is anything.

    Args:
        evaluation (COCOeval): Matched.

    Yields:
        tuple[int, dict]: Position of the class, and its record: ``dtIds``, ``dtMatches``, ``dtIgnore``, ``gtIds``,
        ``gtMatches``, ``gtIgnore`` and so on; matches and ``dtIgnore`` have a first axis of IoU thresholds.
    """
    images, sizes = len(evaluation.params.imgIds), len(evaluation.params.areaRng)
    for index in range(len(evaluation.params.catIds)):
        start = index * sizes * images  # the first of the sizes is 'all'
        for record in filter(None, evaluation.evalImgs[start:start + images]):
            yield index, record


def accumulate(evaluation):
    """Compute precision and recall from the matches; returns the same object with its ``eval`` filled."""
    with redirect_stdout(io.StringIO()):
        evaluation.accumulate()
    return evaluation


def coco_metrics(evaluation):
    """The metrics of METRICS over all classes.

    Args:
        evaluation (COCOeval): Accumulated.

    Returns:
        dict[str, float | None]: 0 to 1; None where there is no object of that size.
    """
    return {name: _mean(_curve(evaluation, name)) for name in METRICS}


def coco_per_class(evaluation):
    """The metrics of METRICS and the number of objects, for each class.

    Args:
        evaluation (COCOeval): Accumulated.

    Returns:
        dict[str, dict | None]: By the class's name; None for a class without objects.
    """
    names = {category['id']: category['name'] for category in evaluation.cocoGt.dataset['categories']}
    classes = {}
    for index, category in enumerate(evaluation.params.catIds):
        ids = evaluation.cocoGt.getAnnIds(catIds=[category], iscrowd=False)
        values = {name: _mean(_curve(evaluation, name)[..., index]) for name in METRICS}
        classes[names[category]] = dict(values, instances=len(ids)) if ids else None
    return classes


def precision_curve(evaluation, iou):
    """Precision at 101 recall points, the mean over the classes that have objects.

    Args:
        evaluation (COCOeval): Accumulated.
        iou (float): One of its IoU thresholds.

    Returns:
        list[float]: Precision at recall 0, 0.01 ... 1; empty where no class has an object.
    """
    threshold = _index_of_iou(evaluation, iou)
    precision = evaluation.eval['precision'][threshold, :, :, 0, 0]  # (101, classes)
    known = precision[:, precision[0] > -1]
    return known.mean(1).tolist() if known.size else []


def _indexed(ground_truth, annotations):
    coco = COCO()
    coco.dataset = dict(ground_truth, annotations=[dict(ann) for ann in annotations])  # pycocotools writes into them
    coco.createIndex()
    return coco


def _detection(number, result):
    width, height = result['bbox'][2:]
    return dict(result, id=number, area=width * height, iscrowd=0)


def _index_of_iou(evaluation, iou):
    return int(np.argmin(np.abs(np.asarray(evaluation.params.iouThrs) - iou)))


def _curve(evaluation, name):
    """What a metric is the mean of: (IoUs, recall points, classes), or (IoUs, classes) for recall."""
    kind, iou, size = METRICS[name]
    values = evaluation.eval[kind][..., evaluation.params.areaRngLbl.index(size), 0]
    return values if iou is None else values[[_index_of_iou(evaluation, iou)]]


def _mean(values):
    known = values[values > -1]  # pycocotools gives -1 where there is nothing to find
    return float(known.mean()) if known.size else None
