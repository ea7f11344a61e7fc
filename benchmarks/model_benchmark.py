"""Overhead of attention modules: models with a module against stock models, timed in turns.

The cost of many small operators depends on the machine. For SCSA, a third model with the reference form of the module
is therefore timed in the same turns.

All models share their weights. If the work after the model depends on its output (the number of boxes), the module
starts as the identity, so that all models produce the same output.
"""

import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper

from mmxattn.layers import SCSA
from mmxattn.profiling import timing
from mmxattn.profiling.complexity import count_macs
from mmxattn.profiling.inputs import synthetic_batch
from mmxattn.utils.config import build_untrained_model, load_config

CONFIGS = Path(__file__).parents[1] / 'configs'


@dataclass(frozen=True)
class ModelCase:
    """Stock model and the same model with an attention module.

    Attributes:
        module: Name of the module.
        title: Model and image size, for display.
        stock: Toolbox, and path of the stock config in it.
        config: Path of the config with the module in this package.
        options: Values by dotted key that replace those of ``config``.
        shape: Height and width of the images in pixels.
        batch_size: Number of images in inference.
        backbone_only: Time the backbone instead of the whole model.
        training: Also time training steps.
        reference: Also time inference with the reference form of the module (SCSA only).
    """

    module: str
    title: str
    stock: tuple[str, str]
    config: str
    options: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, int] = (800, 1333)
    batch_size: int = 1
    backbone_only: bool = False
    training: bool = True
    reference: bool = False


FASTER_RCNN = ('mmdet', 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py')
SCSA_CASE = dict(stock=FASTER_RCNN, config='scsa/faster-rcnn_r50-scsa_fpn_1x_coco.py', backbone_only=True,
                 training=False, reference=True)
CASES = [
    ModelCase('SCSA', 'ResNet-50, 224x224, 8 images', shape=(224, 224), batch_size=8, **SCSA_CASE),
    ModelCase('SCSA', 'ResNet-50, 224x224, 32 images', shape=(224, 224), batch_size=32, **SCSA_CASE),
    ModelCase('SCSA', 'ResNet-50, 800x1344', shape=(800, 1344), **SCSA_CASE),
    ModelCase('FINE', 'Faster R-CNN R50-FPN, 800x1333', FASTER_RCNN, 'fine/faster-rcnn_r50_fine-fpn_1x_coco.py',
              {'model.neck.zero_init': True}),
    ModelCase('CFSAM', 'SSD300-VGG16', ('mmdet', 'ssd/ssd300_coco.py'), 'cfsam/ssd300_cfsam_coco.py',
              {'model.neck.1.residual': True, 'model.neck.1.zero_init': True}, shape=(300, 300)),
    *(ModelCase('CLA', f'SegFormer-B0, 512x512, patch_size={size}',
                ('mmseg', 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'),
                'cla/segformer_mit-b0_cla_8xb2-160k_ade20k-512x512.py', {'model.decode_head.patch_size': size},
                shape=(512, 512)) for size in (1, 2, 4, 8)),
]


@dataclass
class Overhead:
    """Overhead of a module in one pass.

    Attributes:
        module: See :class:`ModelCase`.
        title: See :class:`ModelCase`.
        training: Whether the pass is a training step or inference.
        stock: Seconds per call of the stock model in each turn.
        swapped: Seconds per call of the model with the module in each turn.
        macs: Multiply-adds in inference of the stock model and of the one with the module.
        reference: Seconds per call with the reference form, None if not timed.
    """

    module: str
    title: str
    training: bool
    stock: list[float]
    swapped: list[float]
    macs: tuple[int, int]
    reference: list[float] | None = None

    @property
    def ratio(self) -> timing.Spread:
        """Time with the module relative to the stock model."""
        return timing.ratio(self.swapped, self.stock)

    @property
    def reference_ratio(self) -> timing.Spread | None:
        """Time with the reference form relative to the stock model."""
        return timing.ratio(self.reference, self.stock) if self.reference else None

    @property
    def interval(self) -> tuple[float, float]:
        """95% confidence interval of the median ratio."""
        return timing.median_interval(swapped / stock for swapped, stock in zip(self.swapped, self.stock))

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON-compatible values."""
        reference_ratio = self.reference_ratio and vars(self.reference_ratio)
        return dict(vars(self), ratio=vars(self.ratio), interval=self.interval, reference_ratio=reference_ratio)


def select(only: str = '') -> list[ModelCase]:
    """Select the cases whose module or title contains a text, ignoring case.

    Raises:
        ValueError: If there are none.
    """
    selected = [case for case in CASES if only.lower() in f'{case.module} {case.title}'.lower()]
    if not selected:
        names = '\n  '.join(f'{case.module} {case.title}' for case in CASES)
        raise ValueError(f'{only!r} must be part of the name of a model:\n  {names}')
    return selected


def bench_models(cases: Sequence[ModelCase],
                 device: str = 'cpu',
                 turns: int = 40,
                 budget: float = 120,
                 calls: int = 1,
                 log: Callable[[str], object] | None = None) -> Iterator[Overhead]:
    """Time models with and without their attention modules.

    Args:
        cases: Cases to time.
        device: 'cuda' or 'cpu'.
        turns: Number of inference timings. Training steps are timed half as often.
        budget: Seconds after which a timing stops early, once it has five turns.
        calls: Consecutive calls per turn. A GPU is idle at the start of a turn: with one call, the time includes all
            kernel launches, with many calls they overlap with the computation.
        log: Callback for progress messages.

    Yields:
        One result per case and pass.

    Raises:
        ValueError: If ``turns`` or ``calls`` is smaller than 1, or a config is missing.
    """
    for name, value in (('turns', turns), ('calls', calls)):
        if value < 1:
            raise ValueError(f'{name} must be at least 1, got {value}.')
    for case in cases:
        if log:
            log(f'{case.module} in {case.title}')
        cfgs, models = build(case, device)
        for training in (False, True) if case.training else (False, ):
            make_step = training_step if training else inference_step
            steps = [make_step(case, cfg, model, device) for cfg, model in zip(cfgs, models)]
            if not training:
                macs = tuple(map(count_macs, steps))
                if case.reference:
                    steps.append(make_step(case, cfgs[1], with_reference_forward(models[1]), device))
            number = max(1, turns // 2) if training else turns
            repeated = [functools.partial(_repeat, step, calls) for step in steps]
            measured = timing.interleave(repeated, number, 3, budget, timing.timer_for(device), timing.MIN_TURNS)
            stock, swapped, *reference = [[turn / calls for turn in seconds] for seconds in measured]
            yield Overhead(case.module, case.title, training, stock, swapped, macs, *reference)


def _repeat(function, calls):
    for _ in range(calls):
        function()


def build(case: ModelCase, device: str) -> tuple[list[Config], list[BaseModel]]:
    """Build the stock model and the one with the module, with the same weights."""
    toolbox, path = case.stock
    cfgs = [load_config(Path(__import__(toolbox).__path__[0]) / '.mim' / 'configs' / path),
            load_config(CONFIGS / case.config, case.options)]
    stock, swapped = (build_untrained_model(cfg) for cfg in cfgs)
    swapped.load_state_dict(stock.state_dict(), strict=False)
    return cfgs, [stock.to(device), swapped.to(device)]


def with_reference_forward(model: BaseModel) -> BaseModel:
    """Copy a model and make its SCSA layers compute their reference form."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, SCSA):
            module.forward = module.forward_reference
    return model


def inference_step(case: ModelCase, cfg: Config, model: BaseModel, device: str) -> Callable[[], None]:
    """Create a function that predicts, or computes the features of the backbone."""
    if not case.backbone_only:
        return timing.make_inference_step(model, [synthetic_batch(cfg, case.shape, case.batch_size)])
    images = torch.rand(case.batch_size, 3, *case.shape, generator=torch.Generator().manual_seed(0)).to(device)

    def step():
        with torch.no_grad():
            model.backbone(images)

    return step


def training_step(case: ModelCase, cfg: Config, model: BaseModel, device: str) -> Callable[[], None]:
    """Create a function that runs one training step on two images."""
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    return timing.make_training_step(model, synthetic_batch(cfg, case.shape, 2), optim_wrapper)
