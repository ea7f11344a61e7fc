"""mIoU@small as a metric for configs of mmsegmentation."""
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.fileio import load
from mmseg.evaluation import IoUMetric

from ..registry import METRICS
from .segmentation import segmentation_metrics
from .small_iou import AREA, SHARE, count_components, count_instances, select_small_classes


@METRICS.register_module()
class SmallIoUMetric(IoUMetric):
    """IoUMetric with an additional ``mIoU@small``, the mean IoU of the classes whose instances are mostly small.

    Args:
        area: Instances with fewer pixels are small.
        share: A class is small if more than this share of its instances is small.
        ann_file: COCO-style file with the instances of the evaluated dataset. By default, the connected components of
            the label maps are counted, see :mod:`mmxattn.evaluation.small_iou`.
        **kwargs: Arguments of IoUMetric.

    Raises:
        ValueError: If ``ann_file`` does not exist.
    """

    def __init__(self, area: int = AREA, share: float = SHARE, ann_file: str | None = None, **kwargs):
        if ann_file is not None and not Path(ann_file).is_file():
            raise ValueError(f'SmallIoUMetric: ann_file must be an existing file, got {ann_file}. Omit it to count the '
                             f'connected components of the label maps.')
        super().__init__(**kwargs)
        self.area, self.share, self.ann_file = area, share, ann_file

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Store the areas of each image and the counts of its instances.

        Args:
            data_batch: Batch of the data loader.
            data_samples: Outputs of the model.
        """
        start = len(self.results)
        super().process(data_batch, data_samples)
        for index, sample in zip(range(start, len(self.results)), data_samples):  # nothing is stored if format_only
            self.results[index] = (*self.results[index], self._count(sample))

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """Compute the metrics of IoUMetric and ``mIoU@small``.

        Args:
            results: Areas and instance counts of each image.

        Returns:
            Metrics in percent by name; ``mIoU@small`` is NaN if no class is small.
        """
        metrics = super().compute_metrics([result[:4] for result in results])
        if self.format_only:
            return metrics
        if self.ann_file is not None:
            counts = count_instances(load(self.ann_file), self.dataset_meta['classes'], self.area)
        else:
            counts = sum(result[4] for result in results)
        areas = np.stack([sum(result[kind].numpy().astype(float) for result in results) for kind in range(4)])
        small_iou = segmentation_metrics(areas, select_small_classes(counts, self.share))['mIoU@small']
        return {**metrics, 'mIoU@small': round(float(small_iou), 2)}

    def _count(self, sample: dict) -> np.ndarray:
        target = sample['gt_sem_seg']['data'].squeeze().cpu().numpy()
        return count_components(target, len(self.dataset_meta['classes']), self.ignore_index, self.area)
