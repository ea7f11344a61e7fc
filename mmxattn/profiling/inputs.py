"""What a model is fed to be timed: images of the recipe's own data set, or made ones where it is not there."""

import io
import itertools
from contextlib import redirect_stdout

import numpy as np
import torch
from mmengine.runner import Runner, set_random_seed
from mmengine.structures import PixelData


def real_batches(loader, number, seed=0):
    """The first batches of a data loader, the same ones each time.

    Args:
        loader (dict): A recipe's data loader.
        number (int): How many.
        seed (int): Of order and augmentation.

    Returns:
        list[dict]: ``inputs`` and ``data_samples``.
    """
    loader = dict(loader, num_workers=0, persistent_workers=False)
    loader.pop('prefetch_factor', None)
    set_random_seed(seed)
    with redirect_stdout(io.StringIO()):  # pycocotools tells that it reads annotations
        return list(itertools.islice(Runner.build_dataloader(loader, seed=seed), number))


def test_batches(cfg, batch_size, number):
    """Batches of a recipe's validation set, else its test set.

    Args:
        cfg (mmengine.config.Config): The recipe.
        batch_size (int): Images a batch.
        number (int): Batches; fewer where the set is smaller.

    Returns:
        list[dict]: ``inputs`` and ``data_samples``.
    """
    loader = cfg.get('val_dataloader') or cfg.test_dataloader
    return real_batches(dict(loader, batch_size=batch_size), number)


def made_batch(cfg, shape, batch_size, objects=8, seed=0):
    """Images of noise with made annotations, as a data loader hands them to a detector or a segmentor.

    Args:
        cfg (mmengine.config.Config): The recipe; it tells the classes and whether masks are learnt.
        shape (tuple[int, int]): Height and width in pixels.
        batch_size (int): Images.
        objects (int): Boxes an image, of random place, size and class; for a segmentor, regions.
        seed (int): Of the noise and the annotations.

    Returns:
        dict: ``inputs``, a list of (3, height, width) uint8 tensors, and ``data_samples``.
    """
    if cfg.get('default_scope') == 'mmseg':
        return _made_segmentation(cfg, shape, batch_size, objects, seed)
    from mmdet.testing import demo_mm_inputs
    roi_head = cfg.model.get('roi_head', {})
    np.random.seed(seed)  # which mmdet draws the images' noise from
    return demo_mm_inputs(
        batch_size, [[3, *shape]] * batch_size, num_items=[objects] * batch_size, num_classes=_detector_classes(cfg),
        with_mask='mask_head' in roi_head)


def _detector_classes(cfg):
    heads = [cfg.model.get('roi_head', {}).get('bbox_head'), cfg.model.get('bbox_head')]
    head = next((head for head in heads if head), {})
    head = head[0] if isinstance(head, (list, tuple)) else head  # a cascade has one a stage
    return head.get('num_classes', 80)


def _made_segmentation(cfg, shape, batch_size, regions, seed):
    from mmseg.structures import SegDataSample
    generator = torch.Generator().manual_seed(seed)
    head = cfg.model.decode_head
    classes = (head[-1] if isinstance(head, (list, tuple)) else head).num_classes
    samples, inputs = [], []
    for _ in range(batch_size):
        coarse = torch.randint(classes, (1, 1, regions, regions), generator=generator)
        labels = torch.nn.functional.interpolate(coarse.float(), size=shape).long()[0]
        meta = dict(img_shape=shape, ori_shape=shape, pad_shape=shape, scale_factor=(1.0, 1.0), flip=False)
        samples.append(SegDataSample(gt_sem_seg=PixelData(data=labels), metainfo=meta))
        inputs.append(torch.randint(256, (3, *shape), dtype=torch.uint8, generator=generator))
    return dict(inputs=inputs, data_samples=samples)
