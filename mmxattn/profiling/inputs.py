"""Inputs for timing: batches of a recipe's dataset, or synthetic ones if the dataset is not available."""

import io
import itertools
from contextlib import redirect_stdout

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner, set_random_seed
from mmengine.structures import PixelData


def real_batches(loader: dict, number: int, seed: int = 0) -> list[dict]:
    """Load the first batches of a data loader. Repeated calls return the same batches.

    Args:
        loader: Data loader config of a recipe.
        number: Maximum number of batches. A small dataset yields fewer.
        seed: Seed for the order and the augmentation of the images.

    Returns:
        Batches with ``inputs`` and ``data_samples``.
    """
    loader = dict(loader, num_workers=0, persistent_workers=False)
    loader.pop('prefetch_factor', None)
    set_random_seed(seed)
    with redirect_stdout(io.StringIO()):  # pycocotools prints while it loads annotations
        return list(itertools.islice(Runner.build_dataloader(loader, seed=seed), number))


def test_batches(cfg: Config, batch_size: int, number: int) -> list[dict]:
    """Load batches of a recipe's validation set, or of its test set if there is no validation set.

    Args:
        cfg: Config of the recipe.
        batch_size: Number of images per batch.
        number: Maximum number of batches. A small dataset yields fewer.

    Returns:
        Batches with ``inputs`` and ``data_samples``.
    """
    loader = cfg.get('val_dataloader') or cfg.test_dataloader
    return real_batches(dict(loader, batch_size=batch_size), number)


def synthetic_batch(cfg: Config, shape: tuple[int, int], batch_size: int, objects: int = 8, seed: int = 0) -> dict:
    """Create random images with random annotations, in the format of a detection or segmentation data loader.

    Args:
        cfg: Recipe. It determines the number of classes and whether masks are included.
        shape: Height and width in pixels.
        batch_size: Number of images.
        objects: Number of boxes per image for detectors, or of label cells along each side for segmentors.
        seed: Seed of images and annotations.

    Returns:
        ``inputs``, a list of (3, height, width) uint8 tensors, and ``data_samples``.
    """
    if cfg.get('default_scope') == 'mmseg':
        return _segmentation_batch(cfg, shape, batch_size, objects, seed)
    from mmdet.testing import demo_mm_inputs
    np.random.seed(seed)  # mmdet draws the images from NumPy's global generator
    return demo_mm_inputs(
        batch_size, [[3, *shape]] * batch_size, num_items=[objects] * batch_size, num_classes=_detector_classes(cfg),
        with_mask='mask_head' in cfg.model.get('roi_head', {}))


def _detector_classes(cfg):
    heads = [cfg.model.get('roi_head', {}).get('bbox_head'), cfg.model.get('bbox_head')]
    head = next((head for head in heads if head), None)
    if isinstance(head, (list, tuple)):  # a cascade has one per stage
        head = head[0]
    return head.get('num_classes', 80) if head else 80


def _segmentation_batch(cfg, shape, batch_size, cells, seed):
    from mmseg.structures import SegDataSample
    generator = torch.Generator().manual_seed(seed)
    head = cfg.model.decode_head
    classes = (head[-1] if isinstance(head, (list, tuple)) else head).num_classes
    samples, inputs = [], []
    for _ in range(batch_size):
        coarse = torch.randint(classes, (1, 1, cells, cells), generator=generator)
        labels = torch.nn.functional.interpolate(coarse.float(), size=shape).long()[0]
        meta = dict(img_shape=shape, ori_shape=shape, pad_shape=shape, scale_factor=(1.0, 1.0), flip=False)
        samples.append(SegDataSample(gt_sem_seg=PixelData(data=labels), metainfo=meta))
        inputs.append(torch.randint(256, (3, *shape), dtype=torch.uint8, generator=generator))
    return dict(inputs=inputs, data_samples=samples)
