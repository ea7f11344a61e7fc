"""Metrics from the papers that OpenMMLab's toolboxes do not have, and statistics to compare models.

The functions take COCO-style dicts, label maps or counts. Those for boxes require pycocotools, which mmdet installs.
:class:`SmallIoUMetric` is for configs of mmsegmentation.
"""
from ..registry import METRICS
from ..utils.toolboxes import installed, placeholder
from .small_iou import small_classes

__all__ = ['small_classes']

if installed('mmseg'):
    from .small_iou_metric import SmallIoUMetric
    __all__ += ['SmallIoUMetric']
else:
    METRICS.register_module(name='SmallIoUMetric', module=placeholder('SmallIoUMetric', 'mmseg'))
