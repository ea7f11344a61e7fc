"""Parameters and multiply-adds (MACs) of a model, including attention.

The counters of mmengine and fvcore have no formula for ``scaled_dot_product_attention``. PyTorch's counter has one for
each GPU kernel, and the CPU kernel is added here. Convolutions, linear layers, matrix products and attention are
counted. All other operators (normalization, activations, RoIAlign) are listed as uncounted.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from unittest import mock

import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement, InstanceData
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from ..utils.config import build_model, input_shape
from .crosscheck import Crosscheck, crosscheck_macs
from .operators import Operator, OperatorRecorder


def cpu_attention_flops(query, key, value, *args, **kwargs):
    """Count the FLOPs of the CPU's fused attention from the shapes of query, key and value."""
    return sdpa_flop_count(query, key, value)


FORMULAS = {  # not built into torch 2.13
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: cpu_attention_flops}


@dataclass(frozen=True)
class ModuleCost:
    """Cost of one submodule.

    Attributes:
        type: Class name.
        parameters: Number of parameters.
        macs: Multiply-adds, each counted once.
    """

    type: str
    parameters: int
    macs: int

    @property
    def flops(self) -> int:
        """Floating-point operations, two per multiply-add."""
        return 2 * self.macs


@dataclass(frozen=True)
class Complexity:
    """Cost of the forward pass of one image.

    Attributes:
        parameters: Number of parameters, including frozen ones.
        trainable_parameters: Number of trainable parameters.
        macs: Multiply-adds, each counted once.
        shape: Height and width of the image in pixels, before padding.
        modules: Cost of each submodule by dotted name, in the order of the model.
        uncounted: Operators without a counting formula.
        crosscheck: Result of the second counter, or None if it was not requested.
    """

    parameters: int
    trainable_parameters: int
    macs: int
    shape: tuple[int, int]
    modules: dict[str, ModuleCost] = field(default_factory=dict)
    uncounted: list[Operator] = field(default_factory=list)
    crosscheck: Crosscheck | None = None

    @property
    def flops(self) -> int:
        """Floating-point operations, two per multiply-add."""
        return 2 * self.macs

    @classmethod
    def from_dict(cls, entry: dict) -> 'Complexity':
        """Create an instance from the output of ``dataclasses.asdict``."""
        return cls(**dict(
            entry,
            shape=tuple(entry['shape']),
            modules={name: ModuleCost(**cost) for name, cost in entry['modules'].items()},
            uncounted=[Operator(**operator) for operator in entry['uncounted']],
            crosscheck=Crosscheck(**entry['crosscheck']) if entry['crosscheck'] else None))


def count_macs(function: Callable[[], object]) -> int:
    """Count the multiply-adds of one call, without gradients. Each is counted once."""
    counter, _ = _count(function)
    return counter.get_total_flops() // 2


def _count(function):
    counter = FlopCounterMode(display=False, custom_mapping=FORMULAS)
    recorder = OperatorRecorder(counter.flop_registry)
    with torch.no_grad(), _disable_mha_fastpath(), counter, recorder:
        function()
    return counter, recorder.operators()


def complexity(recipe: Config | nn.Module, shape: tuple[int, int] | None = None, crosscheck: bool = True) -> Complexity:
    """Count parameters and multiply-adds of a detector or segmentor, from the image to the raw output of the heads.

    The result depends neither on the weights nor on the image: a two-stage detector gets the maximum number of
    proposals of its test settings. Auxiliary heads, used in training only, count as parameters but not as
    multiply-adds.

    Args:
        recipe: Recipe, or a model built from one.
        shape: Height and width in pixels. Default: the input size of the recipe.
        crosscheck: Also count with a second counter, which doubles the time.

    Returns:
        The counts.

    Raises:
        ValueError: If ``shape`` is None and the recipe does not specify an input size.
    """
    is_config = isinstance(recipe, Config)
    shape = shape or (input_shape(recipe) if is_config else None)
    if shape is None:
        name = recipe.filename if is_config else type(recipe).__name__
        raise ValueError(f'{name} has no image size: neither a Resize in its test pipeline nor data_preprocessor.size. '
                         f'Pass a shape such as (800, 1333).')
    model = build_model(recipe) if is_config else recipe
    training = model.training
    model.eval()
    data = model.get_submodule('data_preprocessor')(blank_image(shape), False)
    with _fixed_proposals(model, data['inputs'].shape[-2:]) as proposal_maps:
        counter, operators = _count(lambda: model(**data, mode='tensor'))
        macs = _macs_by_module(model, counter)
        second = None
        if crosscheck:
            with torch.no_grad(), _disable_mha_fastpath():
                second = crosscheck_macs(model, lambda: (model(**data, mode='tensor'), proposal_maps), macs)
    model.train(training)
    return Complexity(
        parameters=sum(p.numel() for p in model.parameters()),
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        macs=macs[''],
        shape=(shape[0], shape[1]),
        modules=_module_costs(model, macs),
        uncounted=operators,
        crosscheck=second)


def _macs_by_module(model, counter):
    """MACs by dotted name, '' for the whole model. Containers that are never called get the sum of their children."""
    top = type(model).__name__
    macs = {name[len(top) + 1:]: sum(operators.values()) // 2
            for name, operators in counter.get_flop_counts().items() if name.startswith(f'{top}.')}
    for name, _ in reversed(list(model.named_modules())):  # children before their parents
        if name and name not in macs:
            children = [f'{name}.{child}' for child, _ in model.get_submodule(name).named_children()]
            macs[name] = sum(macs.get(child, 0) for child in children)
    return {**macs, '': counter.get_total_flops() // 2}


def _module_costs(model, macs):
    return {name: ModuleCost(type(module).__name__, sum(p.numel() for p in module.parameters()), macs.get(name, 0))
            for name, module in model.named_modules() if name}


def blank_image(shape: tuple[int, int]) -> dict:
    """Create a batch of one black image in the format of a data loader.

    Args:
        shape: Height and width in pixels.

    Returns:
        ``inputs``, a list of one (3, height, width) uint8 tensor, and ``data_samples``.
    """
    sample = BaseDataElement(metainfo=dict(img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0)))
    return dict(inputs=[torch.zeros(3, *shape, dtype=torch.uint8)], data_samples=[sample])


@contextlib.contextmanager
def _fixed_proposals(model, padded_shape):
    """Make an RPN return its maximum number of boxes, since the number left by NMS depends on the weights.

    Yields the list that the RPN's output maps are stored in.
    """
    if not (getattr(model, 'with_rpn', False) and getattr(model, 'with_roi_head', False)):
        yield []
        return
    settings = model.test_cfg['rpn']
    number = settings.get('max_per_img') or settings['nms_post']
    height, width = padded_shape

    maps: list = []

    def predict(features, data_samples, rescale=False):
        maps[:] = model.rpn_head(features)
        boxes = features[0].new_tensor([[0, 0, width, height]]).repeat(number, 1)
        labels = torch.zeros(number, dtype=torch.long, device=boxes.device)
        return [InstanceData(bboxes=boxes, scores=boxes.new_ones(number), labels=labels) for _ in data_samples]

    with mock.patch.object(model.rpn_head, 'predict', predict):
        yield maps


@contextlib.contextmanager
def _disable_mha_fastpath():
    """Disable the fused inference kernel of nn.MultiheadAttention, a single operator without a formula."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
