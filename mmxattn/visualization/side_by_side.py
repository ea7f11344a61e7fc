"""The same images with every model's result next to the ground truth, right and wrong marked."""

import copy

import numpy as np
import torch
from PIL import Image, ImageDraw

from .hooks import evaluating
from .images import (
    BLUE,
    GREY,
    ORANGE,
    PURPLE,
    colours,
    enlarge,
    grey,
    label,
    legend,
    photo,
    rectangle,
    scale_for,
    sheet,
)
from .matching import match

DARK = (40, 40, 40)
DETECTION_KEY = [('right (true positive), solid', BLUE), ('wrong (false positive), dashed', ORANGE),
                 ('missed (false negative), dashed, no name', PURPLE)]
SEGMENTATION_KEY = [('wrong', ORANGE), ('no label, does not count', DARK)]


def predict(model, batch):
    """A model's final result for a batch, which stays as it is.

    Args:
        model (mmengine.model.BaseModel): The model.
        batch (dict): A batch of a test data loader.

    Returns:
        list: A data sample for each image, with prediction and ground truth.
    """
    with evaluating(model), torch.no_grad():
        return model.test_step(copy.deepcopy(batch))


def detections(models, batch, classes=None, score_thr=0.5, iou_thr=0.5):
    """Every detector's result for one image.

    Args:
        models (dict[str, mmengine.model.BaseModel]): Detectors by the name to show.
        batch (dict): A batch of a test data loader with ground truth; its first image counts.
        classes (Sequence[str], optional): Names of the classes; their numbers by default.
        score_thr (float): Detections with lower scores are not shown and do not count.
        iou_thr (float): Intersection over union from which on a detection is right.

    Returns:
        tuple[dict[str, dict], PIL.Image.Image]: By model ``true_positives``, ``false_positives`` and
        ``false_negatives``; the picture: ground truth, then a panel a model.

    Raises:
        ValueError: The batch has no ground truth.
    """
    first = dict(inputs=batch['inputs'][:1], data_samples=batch['data_samples'][:1])
    pixels = photo(first['inputs'][0])
    numbers, panels = {}, []
    for name, model in models.items():
        sample, = predict(model, first)
        result = match(sample, score_thr, iou_thr)
        scale = _display_scale(sample, pixels)
        if not panels:
            panels.append((f'ground truth: {len(result.truth)}', draw_truth(pixels, result, scale, classes)))
        panels.append((name, draw_detections(pixels, result, scale, classes)))
        numbers[name] = result.counts()
    return numbers, sheet([panels], DETECTION_KEY)


def draw_truth(pixels, result, scale, classes=None):
    """The image with the objects' boxes and classes; arguments as of :func:`draw_detections`."""
    picture = enlarge(pixels)
    pen = ImageDraw.Draw(picture)
    for box, kind in zip(result.truth * scale, result.truth_labels):
        rectangle(pen, box, (255, 255, 255))
        label(pen, box[:2], _class_name(kind, classes), (255, 255, 255))
    return picture


def draw_detections(pixels, result, scale, classes=None):
    """The image with right, wrong and missing boxes.

    Args:
        pixels (numpy.ndarray): The image, (H, W, 3) uint8.
        result (Detections): What to draw.
        scale (numpy.ndarray): (4, ) factors from the boxes' pixels to the picture's.
        classes (Sequence[str], optional): Names of the classes.

    Returns:
        PIL.Image.Image: The picture.
    """
    picture = enlarge(pixels)
    pen = ImageDraw.Draw(picture)
    for box in result.truth[~result.found] * scale:
        rectangle(pen, box, PURPLE, dashed=True)
    worst_first = list(zip(result.boxes * scale, result.labels, result.scores, result.right))[::-1]
    for box, _, _, right in worst_first:
        rectangle(pen, box, BLUE if right else ORANGE, dashed=not right)
    for box, kind, score, right in worst_first:
        label(pen, box[:2], f'{_class_name(kind, classes)} {score:.2f}', BLUE if right else ORANGE)
    return picture


def segmentations(models, batch, classes=None, palette=None):
    """Every segmentor's labels for one image, and the pixels that are wrong.

    Args:
        models (dict[str, mmengine.model.BaseModel]): Segmentors by the name to show.
        batch (dict): A batch of a test data loader with ground truth; its first image counts.
        classes (Sequence[str], optional): Names of the classes; their numbers by default.
        palette (Sequence[Sequence[int]], optional): Red, green and blue of each class. By default colours far apart.

    Returns:
        tuple[dict[str, dict], PIL.Image.Image]: By model ``wrong_pixels`` and ``pixels`` that count; the picture:
        image and ground truth, then a row a model.

    Raises:
        ValueError: The batch has no ground truth.
    """
    first = dict(inputs=batch['inputs'][:1], data_samples=batch['data_samples'][:1])
    numbers, rows, present = {}, [], set()
    for name, model in models.items():
        sample, = predict(model, first)
        if 'gt_sem_seg' not in sample:
            raise ValueError("The batches hold no ground truth to set labels against: the test pipeline needs "
                             "dict(type='LoadAnnotations') before it packs.")
        truth, labels = (data.data[0].cpu().numpy() for data in (sample.gt_sem_seg, sample.pred_sem_seg))
        counts, wrong = wrong_pixels(labels, truth, model)
        pixels = _resized(photo(first['inputs'][0]), truth.shape)
        table = _palette(model, palette)
        if not rows:
            rows.append([('image', enlarge(pixels)), ('ground truth', enlarge(paint(truth, table)))])
        rows.append([(name, enlarge(paint(labels, table))),
                     (f'wrong: {wrong.sum() / max(counts.sum(), 1):.1%}', enlarge(mark(pixels, counts, wrong)))])
        numbers[name] = dict(wrong_pixels=int(wrong.sum()), pixels=int(counts.sum()))
        present |= {int(kind) for kind in np.union1d(truth, labels) if kind < len(table)}
    rows[0].append(('classes', legend([(_class_name(kind, classes), table[kind]) for kind in sorted(present)])))
    return numbers, sheet(rows, SEGMENTATION_KEY)


def wrong_pixels(labels, truth, model):
    """Which pixels count, and which of them are wrong.

    Args:
        labels (numpy.ndarray): (H, W) predicted classes.
        truth (numpy.ndarray): (H, W) true ones.
        model (mmengine.model.BaseModel): The segmentor; its head's ``ignore_index`` (255 where it has none) and number
            of classes say which labels are none.

    Returns:
        tuple[numpy.ndarray, numpy.ndarray]: Two (H, W) bool.
    """
    head = getattr(model, 'decode_head', None)
    counts = (truth != getattr(head, 'ignore_index', 255)) & (truth < getattr(model, 'num_classes', 255))
    return counts, counts & (labels != truth)


def paint(labels, table):
    """Labels (H, W) in the colours of a table (classes, 3) uint8; labels beyond it are grey."""
    table = np.concatenate([table, np.uint8([GREY])])
    return table[np.minimum(labels, len(table) - 1)]


def mark(pixels, counts, wrong):
    """The image in grey, wrong pixels orange, those that do not count dark."""
    marked = grey(pixels)
    marked[~counts] = DARK
    marked[wrong] = ORANGE
    return marked


def _display_scale(sample, pixels):
    """From pixels of the original image to those of the picture, for left, top, right, bottom."""
    own = np.array(sample.metainfo.get('scale_factor', (1, 1)), float)[:2]
    return np.tile(own * scale_for(*pixels.shape[:2]), 2)


def _class_name(kind, classes):
    return str(classes[kind]) if classes is not None and kind < len(classes) else str(kind)


def _palette(model, palette):
    number = int(getattr(model, 'num_classes', 256))
    if palette is not None and len(palette) >= number:
        return np.uint8(palette)
    return colours(np.arange(number)[None] * 0.618 % 1, (0, 1), 'turbo')[0]


def _resized(pixels, shape):
    return np.asarray(Image.fromarray(pixels).resize(shape[::-1], Image.Resampling.BILINEAR))
