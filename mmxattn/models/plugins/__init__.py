"""Attention layers as plugins for backbone blocks."""
from . import resnet_plugins  # noqa: F401  adapts the ResNets of mmdet and mmseg
