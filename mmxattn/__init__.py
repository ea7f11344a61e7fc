"""Cross-layer and synergistic attention for OpenMMLab detectors and segmentors.

``custom_imports = dict(imports=['mmxattn'])`` in a config registers every component. ``mmxattn.layers`` contains the
same modules in plain PyTorch and does not require OpenMMLab.
"""
from .utils.toolboxes import check_stacks, check_torch, installed
from .version import __version__

check_torch()
if installed('mmengine', 'mmcv'):
    check_stacks()
    from . import datasets, engine, evaluation, models, patches  # noqa: F401  registers the components

    patches.apply()

__all__ = ['__version__']
