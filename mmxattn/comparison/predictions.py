"""Run a trained model over its test set and keep the predictions of each image."""

import contextlib
import gzip
import io
import json
import numbers
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import Evaluator
from mmengine.model import BaseModel
from mmengine.registry import EVALUATOR, init_default_scope
from mmengine.runner import Runner, autocast
from mmengine.structures import BaseDataElement
from torch.utils.data import DataLoader

from ..datasets.sources import DatasetNotFoundError
from ..evaluation.ground_truth import GroundTruth
from ..evaluation.segmentation import image_areas
from ..evaluation.small_iou import count_components
from ..utils.atomic_files import write_atomic
from ..utils.checkpoints import load_model
from ..utils.quiet import quiet


@dataclass
class Detections:
    """Detections of each image together with the ground truth.

    Attributes:
        ground_truth: COCO-style dict, see :class:`mmxattn.evaluation.ground_truth.GroundTruth`.
        results: COCO-style dicts with image_id, category_id, bbox and score.
    """

    ground_truth: dict
    results: list
    FILES: ClassVar = ('ground_truth.json.gz', 'detections.json.gz')

    def save(self, folder: str | Path) -> None:
        """Write ``FILES`` to a folder."""
        for name, content in zip(self.FILES, (self.ground_truth, self.results)):
            write_atomic(Path(folder) / name, gzip.compress(json.dumps(content).encode(), 6))

    @classmethod
    def load(cls, folder: str | Path) -> 'Detections':
        """Read what :meth:`save` wrote."""
        return cls(*(json.loads(gzip.decompress((Path(folder) / name).read_bytes())) for name in cls.FILES))


@dataclass
class Segmentations:
    """Pixel and component counts of each image.

    Attributes:
        images: Paths of the images.
        classes: Names of the classes.
        areas: Pixels of intersection, union, prediction and target; int64 of shape (images, 4, classes).
        components: Connected components of the target, all and small ones; int64 of shape (images, 2, classes).
    """

    images: list
    classes: list
    areas: np.ndarray
    components: np.ndarray
    FILES: ClassVar = ('areas.npz', )

    def save(self, folder: str | Path) -> None:
        """Write ``FILES`` to a folder."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **vars(self))
        write_atomic(Path(folder) / self.FILES[0], buffer.getvalue())

    @classmethod
    def load(cls, folder: str | Path) -> 'Segmentations':
        """Read what :meth:`save` wrote."""
        with np.load(Path(folder) / cls.FILES[0]) as file:
            return cls(file['images'].tolist(), file['classes'].tolist(), file['areas'], file['components'])


def predict(
    cfg: Config,
    checkpoint: str | Path,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[Detections | Segmentations, dict[str, float]]:
    """Run a model over its test set, as mmengine's Runner does.

    The validation set is used if the config has no test set or the test annotations are not public.

    Args:
        cfg: Config of a detector or segmentor.
        checkpoint: Weights of the model.
        progress: Callback that receives the number of processed images and the total.

    Returns:
        The predictions, and the metrics of the config's own evaluator under the toolbox's names.

    Raises:
        ValueError: If the model cannot be built, the checkpoint does not fit, data is missing, or the model predicts
            neither boxes nor label maps.
    """
    model: BaseModel = load_model(cfg, checkpoint)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    with _missing_data_as_value_error(cfg):
        with quiet():
            loader, evaluator, fp16 = _build_test_split(cfg)
        collector, done, total = None, 0, len(loader.dataset)
        for batch in loader:
            with torch.no_grad(), autocast(enabled=fp16):
                samples = model.test_step(batch)
            evaluator.process(samples, batch)
            collector = collector or _build_collector(samples[0], loader.dataset, evaluator, cfg)
            for sample in samples:
                collector.add(sample)
            done += len(samples)
            if progress is not None:
                progress(done, total)
    if collector is None:
        raise ValueError(f'The test set of {cfg.filename} must have images, got none: check data_root and data_prefix.')
    with quiet():
        reported = evaluator.evaluate(total)
    reported = {name: float(value) for name, value in reported.items() if isinstance(value, numbers.Real)}
    return collector.finish(), reported


class _DetectionCollector:

    def __init__(self, dataset: BaseDataset):
        self.ground_truth = GroundTruth(dataset)
        self.results: list[dict] = []

    def add(self, sample: BaseDataElement) -> None:
        boxes, scores, labels = (sample.pred_instances[name].cpu().numpy() for name in ('bboxes', 'scores', 'labels'))
        self.results += self.ground_truth.to_coco_results(sample.img_id, boxes, scores, labels)

    def finish(self) -> Detections:
        return Detections(self.ground_truth.coco, self.results)


class _SegmentationCollector:

    def __init__(self, dataset: BaseDataset, evaluator: Evaluator):
        self.classes = list(dataset.metainfo['classes'])
        self.ignore_index = next(
            (metric.ignore_index for metric in evaluator.metrics if hasattr(metric, 'ignore_index')), 255)
        self.images: list[str] = []
        self.areas: list[np.ndarray] = []
        self.components: list[np.ndarray] = []

    def add(self, sample: BaseDataElement) -> None:
        prediction, target = (getattr(sample, name).data.squeeze(0).cpu().numpy()
                              for name in ('pred_sem_seg', 'gt_sem_seg'))
        self.images.append(sample.img_path)
        self.areas.append(image_areas(prediction, target, len(self.classes), self.ignore_index))
        self.components.append(count_components(target, len(self.classes), self.ignore_index))

    def finish(self) -> Segmentations:
        return Segmentations(self.images, self.classes, np.stack(self.areas), np.stack(self.components))


def _build_collector(
    sample: BaseDataElement, dataset: BaseDataset, evaluator: Evaluator, cfg: Config
) -> _DetectionCollector | _SegmentationCollector:
    if 'pred_instances' in sample and 'bboxes' in sample.pred_instances:
        return _DetectionCollector(dataset)
    if 'pred_sem_seg' in sample and 'gt_sem_seg' in sample:
        return _SegmentationCollector(dataset, evaluator)
    outputs = sorted(sample.keys()) if hasattr(sample, 'keys') else type(sample).__name__
    raise ValueError(f'The model of {cfg.filename} must predict boxes (pred_instances) or label maps with ground truth '
                     f'(pred_sem_seg, gt_sem_seg), got {outputs}: evaluate a detector or segmentor.')


def _build_test_split(cfg: Config) -> tuple[DataLoader, Evaluator, bool]:
    """Build data loader and evaluator; also return whether to use half precision."""
    metrics = _metric_cfgs(cfg.get('test_evaluator') or [])
    has_no_targets = any(metric.get('format_only') for metric in metrics)
    split = 'val' if has_no_targets or not cfg.get('test_dataloader') else 'test'
    loader, evaluator = cfg.get(f'{split}_dataloader'), cfg.get(f'{split}_evaluator')
    if not loader or not evaluator:
        raise ValueError(f'{cfg.filename} must have a test_dataloader and a test_evaluator, or a val_dataloader and a '
                         f'val_evaluator: add the data to evaluate on.')
    is_evaluator_cfg = isinstance(evaluator, dict) and 'metrics' in evaluator
    loader = Runner.build_dataloader(loader)
    evaluator = EVALUATOR.build({'type': 'Evaluator', **evaluator}) if is_evaluator_cfg else Evaluator(evaluator)
    evaluator.dataset_meta = getattr(loader.dataset, 'metainfo', None)
    return loader, evaluator, bool((cfg.get(f'{split}_cfg') or {}).get('fp16'))


def _metric_cfgs(evaluator: dict | Sequence[dict]) -> Sequence[dict]:
    """Return the metric configs of an evaluator config: a metric, a list of them, or either under ``metrics``."""
    if isinstance(evaluator, dict):
        evaluator = evaluator.get('metrics', [evaluator])
    return evaluator if isinstance(evaluator, Sequence) else [evaluator]


@contextlib.contextmanager
def _missing_data_as_value_error(cfg: Config) -> Iterator[None]:
    try:
        yield
    except DatasetNotFoundError as error:
        raise ValueError(f'The dataset of {cfg.filename} is missing. {error}') from error
    except (FileNotFoundError, NotADirectoryError, AssertionError) as error:
        if isinstance(error, AssertionError) and 'ann_file' not in str(error):  # mmseg asserts that the list exists
            raise
        path = getattr(error, 'filename', None) or str(error).strip().splitlines()[-1]
        raise ValueError(f'The dataset of {cfg.filename} is missing: there is no {path}. Put the data where the '
                         f'config expects it, or change its data_root.') from error
