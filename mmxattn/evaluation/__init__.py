"""Metrics that the papers report and the stock toolboxes lack.

The modules work on plain data: COCO-style dicts, label maps, counts. Those on boxes need pycocotools, which mmdet
brings, and are imported by their own names; ``SmallIoUMetric`` is for recipes of mmseg.
"""
from ..registry import METRICS
from ..utils.toolboxes import installed, stand_in
from .small_iou import small_classes

__all__ = ['small_classes']

if installed('mmseg'):
    from .small_iou_metric import SmallIoUMetric
    __all__ += ['SmallIoUMetric']
else:
    METRICS.register_module(name='SmallIoUMetric', module=stand_in('SmallIoUMetric', 'mmseg'))
