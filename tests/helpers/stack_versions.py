"""Versions of the distributions in the environments that `make` builds."""
OPENMMLAB = {'python': '3.11.7', 'torch': '2.13.0+cpu', 'numpy': '2.4.6', 'setuptools': '80.10.2', 'click': '8.1.8',
             'mmengine': '0.10.7', 'mmcv': '2.1.0', 'mmdet': '3.3.0', 'mmsegmentation': '1.2.2', 'openmim': '0.3.9',
             'mmpretrain': '1.2.0', 'ftfy': '6.3.1', 'regex': '2026.1', 'mmxattn': '0.1.0'}
ONEDL = {'python': '3.11.7', 'torch': '2.13.0+cpu', 'numpy': '2.4.6', 'setuptools': '80.10.2', 'click': '8.5.1',
         'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6', 'onedl-mmdetection': '3.5.1', 'onedl-mim': '0.5.1',
         'onedl-mmsegmentation': '1.4.2', 'mmxattn': '0.1.0'}
