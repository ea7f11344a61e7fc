"""Digit scenes: a small detection and segmentation dataset that is generated on first use.

The images show handwritten digits (scikit-learn's, 8x8) from 8 to 128 pixels on textures, with overlap and
distractors. Train and test share no source image. Recipes generate the dataset themselves; to generate it without a
recipe::

    python -m mmxattn.datasets.digit_scenes --sheet sheet.png

Requires scikit-learn, and Pillow for the contact sheet: ``pip install 'mmxattn[demo]'``.
"""
from .writer import CLASSES, PALETTE, check_split, data_root, write

__all__ = ['CLASSES', 'PALETTE', 'check_split', 'data_root', 'write']
