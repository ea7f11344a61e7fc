"""Batches for timing and visualizing models."""

from collections.abc import Sequence
from functools import cached_property

from mmengine.config import Config

from ..profiling.inputs import real_batches, synthetic_batch, test_batches

NUM_IMAGES = 16  # for timing inference


class Batches:
    """Batches of each config's dataset, or synthetic ones for all configs if a dataset is missing.

    Args:
        cfgs: Configs to compare.
        shape: Height and width of synthetic images.
        batch_size: Batch size of training.
        synthetic: Whether to use synthetic images even if the datasets exist.
    """

    def __init__(self, cfgs: Sequence[Config], shape: tuple[int, int], batch_size: int, synthetic: bool):
        self.cfgs = cfgs
        self.shape = shape
        self.batch_size = batch_size
        self._force_synthetic = synthetic

    @cached_property
    def synthetic(self) -> bool:
        """Whether the images are synthetic. The first access reads the datasets."""
        return self._force_synthetic or not all(map(_has_images, self.cfgs))

    def for_test(self, cfg: Config, batch_size: int) -> list[dict]:
        """Return test batches of one config."""
        if self.synthetic:
            return [synthetic_batch(cfg, self.shape, batch_size)]
        return test_batches(cfg, batch_size, max(1, NUM_IMAGES // batch_size))

    def for_training(self) -> list[dict]:
        """Return one training batch per config, or an empty list if a config has no training data."""
        if self.synthetic:
            return [synthetic_batch(cfg, self.shape, self.batch_size) for cfg in self.cfgs]
        if not all(cfg.get('train_dataloader') for cfg in self.cfgs):
            return []
        return [real_batches(cfg.train_dataloader, 1)[0] for cfg in self.cfgs]


def first_image_shape(cfg: Config) -> tuple[int, int]:
    """Return height and width of the first test image."""
    batch, = test_batches(cfg, 1, 1)
    return tuple(batch['inputs'][0].shape[-2:])


def _has_images(cfg: Config) -> bool:
    try:
        return bool(test_batches(cfg, 1, 1))
    except Exception:  # a missing dataset can raise anything
        return False
