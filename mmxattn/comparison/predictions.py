"""Run a trained recipe over its test images and keep what it predicts, image by image."""

import contextlib
import gzip
import io
import json
import logging
import numbers
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.registry import EVALUATOR, init_default_scope
from mmengine.runner import Runner, autocast

from ..datasets.sources import MissingData
from ..evaluation.ground_truth import GroundTruth
from ..evaluation.segmentation import image_areas
from ..evaluation.small_iou import count_components
from ..utils.atomic_files import write_atomic
from ..utils.checkpoints import load_model


@dataclass
class Detections:
    """What a detector finds in each image.

    Attributes:
        ground_truth: COCO-style dict, see :class:`mmxattn.evaluation.ground_truth.GroundTruth`.
        results: COCO-style list of dicts with image_id, category_id, bbox and score.
    """

    ground_truth: dict
    results: list
    FILES = ('ground_truth.json.gz', 'detections.json.gz')

    def save(self, folder):
        """Write ``ground_truth.json.gz`` and ``detections.json.gz``."""
        for name, content in (('ground_truth', self.ground_truth), ('detections', self.results)):
            write_atomic(Path(folder) / f'{name}.json.gz', gzip.compress(json.dumps(content).encode(), 6))

    @classmethod
    def load(cls, folder):
        """Read what :meth:`save` wrote."""
        return cls(*(json.loads(gzip.decompress((Path(folder) / f'{name}.json.gz').read_bytes()))
                     for name in ('ground_truth', 'detections')))


@dataclass
class Segmentations:
    """How a segmentor's classes overlap the true ones in each image.

    Attributes:
        images: Paths of the images.
        classes: Names.
        areas: (images, 4, classes) int64 pixels: intersection, union, prediction, label.
        components: (images, 2, classes) int64, connected components of the true classes: all, and the small ones.
    """

    images: list
    classes: list
    areas: np.ndarray
    components: np.ndarray
    FILES = ('areas.npz', )

    def save(self, folder):
        """Write ``areas.npz``."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **vars(self))
        write_atomic(Path(folder) / 'areas.npz', buffer.getvalue())

    @classmethod
    def load(cls, folder):
        """Read what :meth:`save` wrote."""
        with np.load(Path(folder) / 'areas.npz') as file:
            return cls(file['images'].tolist(), file['classes'].tolist(), file['areas'], file['components'])


def predict(cfg, checkpoint, progress=None):
    """Run a recipe's model over its test set, or its validation set where it has no other, as mmengine's Runner would.

    Args:
        cfg (mmengine.config.Config): The recipe of a detector or a segmentor.
        checkpoint (str | Path): Its weights.
        progress (Callable[[int, int], object], optional): Called with the images done and their total.

    Returns:
        tuple[Detections | Segmentations, dict[str, float]]: What it predicts, and what the recipe's own evaluator
        says of it, under the toolbox's names.

    Raises:
        ValueError: The model cannot be built, the checkpoint does not fit, the data set is not there, or the model
            gives neither boxes nor label maps.
    """
    model = load_model(cfg, checkpoint)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    with _missing_data_told(cfg):
        with _quiet():
            loader, evaluator, half = _test_split(cfg)
        collector, done, total = None, 0, len(loader.dataset)
        for batch in loader:
            with torch.no_grad(), autocast(enabled=half):
                samples = model.test_step(batch)
            evaluator.process(samples, batch)
            collector = collector or _collector_for(samples[0], loader.dataset, evaluator, cfg)
            for sample in samples:
                collector.add(sample)
            done += len(samples)
            if progress is not None:
                progress(done, total)
    if collector is None:
        raise ValueError(f'The data set of {cfg.filename} has no images: see where its data_root and data_prefix lead.')
    with _quiet():
        reported = evaluator.evaluate(total)
    return collector.finish(), {name: float(value) for name, value in reported.items()
                                if isinstance(value, numbers.Real)}


class _DetectionCollector:

    def __init__(self, dataset):
        self.truth, self.results = GroundTruth(dataset), []

    def add(self, sample):
        found = [sample.pred_instances[name].cpu().numpy() for name in ('bboxes', 'scores', 'labels')]
        self.results += self.truth.results(sample.img_id, *found)

    def finish(self):
        return Detections(self.truth.coco, self.results)


class _SegmentationCollector:

    def __init__(self, dataset, evaluator):
        self.classes = list(dataset.metainfo['classes'])
        self.ignore_index = next((metric.ignore_index for metric in evaluator.metrics
                                  if hasattr(metric, 'ignore_index')), 255)
        self.images, self.areas, self.components = [], [], []

    def add(self, sample):
        prediction, label = (getattr(sample, name).data.squeeze(0).cpu().numpy()
                             for name in ('pred_sem_seg', 'gt_sem_seg'))
        self.images.append(sample.img_path)
        self.areas.append(image_areas(prediction, label, len(self.classes), self.ignore_index))
        self.components.append(count_components(label, len(self.classes), self.ignore_index))

    def finish(self):
        return Segmentations(self.images, self.classes, np.stack(self.areas), np.stack(self.components))


def _collector_for(sample, dataset, evaluator, cfg):
    if 'pred_instances' in sample and 'bboxes' in sample.pred_instances:
        return _DetectionCollector(dataset)
    if 'pred_sem_seg' in sample and 'gt_sem_seg' in sample:
        return _SegmentationCollector(dataset, evaluator)
    given = sorted(sample.keys()) if hasattr(sample, 'keys') else type(sample).__name__
    raise ValueError(f'The model of {cfg.filename} gives {given}: only detectors (pred_instances) and segmentors with '
                     f'label maps to compare (pred_sem_seg, gt_sem_seg) can be measured.')


def _test_split(cfg):
    """Data loader, evaluator and whether to run in half precision: of the test set if its answers are known."""
    secret = any(metric.get('format_only') for metric in _metrics(cfg.get('test_evaluator') or []))
    split = 'val' if secret or not cfg.get('test_dataloader') else 'test'
    loader, evaluator = cfg.get(f'{split}_dataloader'), cfg.get(f'{split}_evaluator')
    if not loader or not evaluator:
        raise ValueError(f'{cfg.filename} has no test_dataloader with a test_evaluator, and no val_dataloader with a '
                         f'val_evaluator: give it the data to be measured on.')
    custom = isinstance(evaluator, dict) and 'metrics' in evaluator
    loader = Runner.build_dataloader(loader)
    evaluator = EVALUATOR.build(dict(dict(type='Evaluator'), **evaluator)) if custom else Evaluator(evaluator)
    evaluator.dataset_meta = getattr(loader.dataset, 'metainfo', None)
    return loader, evaluator, bool((cfg.get(f'{split}_cfg') or {}).get('fp16'))


def _metrics(evaluator):
    """The metrics' configs of an evaluator's: one, a list, or either under ``metrics``."""
    if isinstance(evaluator, dict):
        evaluator = evaluator.get('metrics', [evaluator])
    return evaluator if isinstance(evaluator, Sequence) else [evaluator]


@contextlib.contextmanager
def _missing_data_told(cfg):
    try:
        yield
    except MissingData as error:
        raise ValueError(f'The data set of {cfg.filename} is not there. {error}') from error
    except (FileNotFoundError, NotADirectoryError, AssertionError) as error:
        if isinstance(error, AssertionError) and 'ann_file' not in str(error):  # mmseg's way to tell of a missing list
            raise
        path = getattr(error, 'filename', None) or str(error).strip().splitlines()[-1]
        raise ValueError(f'The data set of {cfg.filename} is not there: {path} is missing. Put the data where the '
                         f'recipe expects it, or change its data_root.') from error


@contextlib.contextmanager
def _quiet():
    """Without the tables and notes that data sets and evaluators print; warnings stay."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
