"""mIoU@small for recipes of mmseg."""
from pathlib import Path

import numpy as np
from mmengine.fileio import load
from mmseg.evaluation import IoUMetric

from ..registry import METRICS
from .segmentation import segmentation_metrics
from .small_iou import AREA, SHARE, count_annotations, count_components, small_of_counts


@METRICS.register_module()
class SmallIoUMetric(IoUMetric):
    """mmseg's IoUMetric and ``mIoU@small``, the mean IoU of the classes whose instances are mostly small.

    Args:
        area (int): Instances of fewer pixels are small.
        share (float): More than this share of a class's instances have to be small.
        ann_file (str, optional): COCO-style file with the instances of the set that is evaluated. By default the
            connected components of the label maps stand for them, see :mod:`mmxattn.evaluation.small_iou`.
        **kwargs: What IoUMetric takes.

    Raises:
        ValueError: ``ann_file`` is not there.
    """

    def __init__(self, area=AREA, share=SHARE, ann_file=None, **kwargs):
        if ann_file is not None and not Path(ann_file).is_file():
            raise ValueError(f'SmallIoUMetric: there is no ann_file {ann_file}; leave it out to take the connected '
                             f'components of the label maps for instances.')
        super().__init__(**kwargs)
        self.area, self.share, self.ann_file = area, share, ann_file

    def process(self, data_batch, data_samples):
        """Keep the areas that IoUMetric keeps of each image, and the counts of its instances."""
        before = len(self.results)
        super().process(data_batch, data_samples)
        for index, sample in enumerate(data_samples[:len(self.results) - before], before):
            self.results[index] = (*self.results[index], self._count(sample))

    def compute_metrics(self, results):
        """IoUMetric's metrics, and ``mIoU@small`` in percent (NaN where no class is small).

        Args:
            results (list[tuple]): Of each image four areas and the counts of its instances.

        Returns:
            dict[str, float]: By name.
        """
        metrics = super().compute_metrics([result[:4] for result in results])
        if self.format_only:
            return metrics
        counts = sum(result[4] for result in results)
        if self.ann_file is not None:
            counts = count_annotations(load(self.ann_file), self.dataset_meta['classes'], self.area)
        areas = np.stack([sum(result[kind].numpy().astype(float) for result in results) for kind in range(4)])
        small = segmentation_metrics(areas, small_of_counts(counts, self.share))['mIoU@small']
        return {**metrics, 'mIoU@small': round(float(small), 2)}

    def _count(self, sample):
        label = sample['gt_sem_seg']['data'].squeeze().cpu().numpy()
        return count_components(label, len(self.dataset_meta['classes']), self.ignore_index, self.area)
