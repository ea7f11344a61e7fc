"""Digit scenes, a small detection and segmentation dataset that is generated on first use."""
from .writer import CLASSES, PALETTE, check_split, data_root, write

__all__ = ['CLASSES', 'PALETTE', 'check_split', 'data_root', 'write']
