"""Predictions of several models on the same image next to the ground truth, with errors marked."""

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from PIL import Image, ImageDraw

from .hooks import eval_mode, first_image
from .images import (
    BLUE,
    GRAY,
    ORANGE,
    PURPLE,
    Color,
    colorize,
    display_scale,
    draw_box,
    draw_label,
    grid,
    legend,
    resize_for_display,
    to_gray,
    to_rgb,
)
from .matching import MatchedDetections, match_detections

WHITE, DARK = (255, 255, 255), (40, 40, 40)
DETECTION_KEY = [('true positive: solid', BLUE), ('false positive: dashed', ORANGE),
                 ('false negative: dashed, without label', PURPLE)]
SEGMENTATION_KEY = [('wrong', ORANGE), ('no ground truth, ignored', DARK)]


def predict(model: BaseModel, batch: dict) -> list[BaseDataElement]:
    """Predict a batch of a test data loader without modifying it.

    Returns:
        One data sample per image, with predictions and ground truth.
    """
    with eval_mode(model), torch.no_grad():
        return model.test_step(copy.deepcopy(batch))


def compare_detections(models: Mapping[str, BaseModel],
                       batch: dict,
                       classes: Sequence[str] | None = None,
                       score_thr: float = 0.5,
                       iou_thr: float = 0.5) -> tuple[dict[str, dict], Image.Image]:
    """Draw and count the detections of several detectors on one image.

    Args:
        models: Detectors by display name.
        batch: Batch of a test data loader with ground truth. The first image is used.
        classes: Names of the classes. Default: their indices.
        score_thr: Minimum score of a detection.
        iou_thr: Minimum intersection over union of a true positive.

    Returns:
        ``true_positives``, ``false_positives`` and ``false_negatives`` by model, and a picture with the ground truth
        followed by one panel per model.

    Raises:
        ValueError: If the batch has no ground truth.
    """
    batch = first_image(batch)
    pixels = to_rgb(batch['inputs'][0])
    counts = {}
    panels: list[tuple[str, Image.Image]] = []
    for name, model in models.items():
        sample, = predict(model, batch)
        matched = match_detections(sample, score_thr, iou_thr)
        scale = _display_scale(sample, pixels)
        if not panels:
            title = f'ground truth: {len(matched.gt_boxes)}'
            panels.append((title, draw_ground_truth(pixels, matched, scale, classes)))
        panels.append((name, draw_detections(pixels, matched, scale, classes)))
        counts[name] = matched.counts()
    return counts, grid([panels], DETECTION_KEY)


def draw_ground_truth(pixels: np.ndarray, matched: MatchedDetections, scale: np.ndarray,
                      classes: Sequence[str] | None = None) -> Image.Image:
    """Draw the objects with their classes. See :func:`draw_detections` for the arguments."""
    picture = resize_for_display(pixels)
    draw = ImageDraw.Draw(picture)
    for box, label in zip(matched.gt_boxes * scale, matched.gt_labels):
        draw_box(draw, box, WHITE)
        draw_label(draw, box[:2], _class_name(label, classes), WHITE)
    return picture


def draw_detections(pixels: np.ndarray, matched: MatchedDetections, scale: np.ndarray,
                    classes: Sequence[str] | None = None) -> Image.Image:
    """Draw true positives, false positives and false negatives.

    Args:
        pixels: Image (H, W, 3), uint8.
        matched: Matched detections.
        scale: Factors (4, ) from box coordinates to pixels of the picture.
        classes: Names of the classes.

    Returns:
        The picture.
    """
    picture = resize_for_display(pixels)
    draw = ImageDraw.Draw(picture)
    for box in matched.gt_boxes[~matched.gt_detected] * scale:
        draw_box(draw, box, PURPLE, dashed=True)
    lowest_first = list(zip(matched.boxes * scale, matched.labels, matched.scores, matched.true_positive))[::-1]
    for box, _, _, correct in lowest_first:
        draw_box(draw, box, BLUE if correct else ORANGE, dashed=not correct)
    for box, label, score, correct in lowest_first:
        draw_label(draw, box[:2], f'{_class_name(label, classes)} {score:.2f}', BLUE if correct else ORANGE)
    return picture


def compare_segmentations(models: Mapping[str, BaseModel],
                          batch: dict,
                          classes: Sequence[str] | None = None,
                          palette: Sequence[Color] | None = None) -> tuple[dict[str, dict], Image.Image]:
    """Draw and count the errors of several segmentors on one image.

    Args:
        models: Segmentors by display name.
        batch: Batch of a test data loader with ground truth. The first image is used.
        classes: Names of the classes. Default: their indices.
        palette: RGB color of each class. Default: generated colors.

    Returns:
        ``wrong_pixels`` and ``pixels`` (with ground truth) by model, and a picture with the image and the ground truth
        followed by one row per model.

    Raises:
        ValueError: If the batch has no ground truth.
    """
    batch = first_image(batch)
    counts, present, colors = {}, set(), np.zeros((0, 3), np.uint8)
    rows: list[list[tuple[str, Image.Image]]] = []
    for name, model in models.items():
        sample, = predict(model, batch)
        if 'gt_sem_seg' not in sample:
            raise ValueError("Batches must contain ground truth labels. Add dict(type='LoadAnnotations') to the test "
                             'pipeline, before it packs the inputs.')
        truth, labels = (data.data[0].cpu().numpy() for data in (sample.gt_sem_seg, sample.pred_sem_seg))
        valid, wrong = find_errors(labels, truth, model)
        pixels = _resize(to_rgb(batch['inputs'][0]), truth.shape)
        colors = _class_colors(model, palette)
        if not rows:
            rows.append([('image', resize_for_display(pixels)),
                         ('ground truth', resize_for_display(paint(truth, colors)))])
        rows.append([(name, resize_for_display(paint(labels, colors))),
                     (f'wrong: {wrong.sum() / max(valid.sum(), 1):.1%}',
                      resize_for_display(mark_errors(pixels, valid, wrong)))])
        counts[name] = dict(wrong_pixels=int(wrong.sum()), pixels=int(valid.sum()))
        present |= {int(label) for label in np.union1d(truth, labels) if label < len(colors)}
    rows[0].append(('classes', legend([(_class_name(label, classes), colors[label]) for label in sorted(present)])))
    return counts, grid(rows, SEGMENTATION_KEY)


def find_errors(labels: np.ndarray, truth: np.ndarray, model: BaseModel) -> tuple[np.ndarray, np.ndarray]:
    """Find the pixels with ground truth, and those of them with a wrong prediction.

    Args:
        labels: Predicted classes (H, W).
        truth: Ground truth (H, W).
        model: Segmentor. The ``ignore_index`` of its head (default 255) and labels beyond its classes are ignored.

    Returns:
        Two bool arrays of shape (H, W).
    """
    head = getattr(model, 'decode_head', None)
    valid = (truth != getattr(head, 'ignore_index', 255)) & (truth < getattr(model, 'num_classes', 255))
    return valid, valid & (labels != truth)


def paint(labels: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Paint labels (H, W) with a color table (classes, 3). Labels beyond the table are gray."""
    colors = np.concatenate([colors, np.array([GRAY], np.uint8)])
    return colors[np.minimum(labels, len(colors) - 1)]


def mark_errors(pixels: np.ndarray, valid: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Draw the image in gray, wrong pixels in orange and ignored ones in dark gray."""
    marked = to_gray(pixels)
    marked[~valid] = DARK
    marked[wrong] = ORANGE
    return marked


def _display_scale(sample, pixels):
    """Factors from pixels of the original image to those of the picture, for left, top, right, bottom."""
    scale = np.array(sample.metainfo.get('scale_factor', (1, 1)), float)[:2]
    return np.tile(scale * display_scale(*pixels.shape[:2]), 2)


def _class_name(label, classes):
    return str(classes[label]) if classes is not None and label < len(classes) else str(label)


def _class_colors(model, palette):
    number = int(getattr(model, 'num_classes', 256))
    if palette is not None and len(palette) >= number:
        return np.uint8(palette)
    return colorize(np.arange(number)[None] * 0.618 % 1, (0, 1), 'turbo')[0]  # golden ratio: neighbors differ most


def _resize(pixels, shape):
    return np.asarray(Image.fromarray(pixels).resize(shape[::-1], Image.Resampling.BILINEAR))
