"""What a model costs: parameters, and multiply-adds with attention counted.

The counters of mmengine and fvcore have no rule for ``scaled_dot_product_attention``; PyTorch's own has one for each
GPU kernel, and here is the one for the CPU's. Counted are convolutions, linear layers, matrix products and attention.
Whatever else is computed (normalisation, activations, RoIAlign) has no rule and is listed, operator by operator.
"""

import contextlib
from dataclasses import dataclass, field
from unittest import mock

import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement, InstanceData
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from ..utils.config import build_model, input_shape
from .crosscheck import SecondCount, second_count
from .operators import Operator, Recorder


def attention_flops(query, key, value, *args, **kwargs):
    """FLOPs of the CPU's fused attention, from the shapes of its first three arguments."""
    return sdpa_flop_count(query, key, value)


RULES = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}  # as of torch 2.13 not built in


@dataclass(frozen=True)
class ModuleCost:
    """The cost of one submodule.

    Attributes:
        type: Its class.
        parameters: Number of parameters in it.
        macs: Multiply-adds in it, each counted once.
    """

    type: str
    parameters: int
    macs: int

    @property
    def flops(self):
        """Floating-point operations: two a multiply-add."""
        return 2 * self.macs


@dataclass(frozen=True)
class Complexity:
    """The cost of one forward pass of one image.

    Attributes:
        parameters: Number of parameters, frozen ones included.
        trainable_parameters: Those that training changes.
        macs: Multiply-adds, each counted once.
        shape: Height and width of the image in pixels, before the preprocessor pads it.
        modules: The cost of each submodule by its dotted name, in the model's order.
        uncounted: The operators that no rule counts.
        second: What another counter says; None where it was not asked.
    """

    parameters: int
    trainable_parameters: int
    macs: int
    shape: tuple
    modules: dict = field(default_factory=dict)
    uncounted: list = field(default_factory=list)
    second: SecondCount = None

    @property
    def flops(self):
        """Floating-point operations: two a multiply-add."""
        return 2 * self.macs

    @classmethod
    def from_dict(cls, entry):
        """The inverse of ``dataclasses.asdict``."""
        return cls(**dict(
            entry,
            shape=tuple(entry['shape']),
            modules={name: ModuleCost(**cost) for name, cost in entry['modules'].items()},
            uncounted=[Operator(**operator) for operator in entry['uncounted']],
            second=SecondCount(**entry['second']) if entry['second'] else None))


def count_macs(function):
    """Count the multiply-adds of whatever ``function()`` computes.

    Args:
        function (Callable[[], object]): Called once, without gradients.

    Returns:
        int: Multiply-adds, each counted once.
    """
    counter, _ = _count(function)
    return counter.get_total_flops() // 2


def _count(function):
    counter = FlopCounterMode(display=False, custom_mapping=RULES)
    recorder = Recorder(counter.flop_registry)
    with torch.no_grad(), _without_mha_fastpath(), counter, recorder:
        function()
    return counter, recorder.operators()


def complexity(recipe, shape=None, crosscheck=True):
    """Parameters and multiply-adds of a detector or a segmentor, from the image to the heads' raw output.

    The count does not depend on weights or on the image: a two-stage detector gets as many proposals as its test
    settings allow. Auxiliary heads, which only training uses, are in the parameters and not in the multiply-adds.

    Args:
        recipe (mmengine.config.Config | torch.nn.Module): A recipe, or a model that one built.
        shape (tuple[int, int], optional): Height and width in pixels. By default the recipe's own.
        crosscheck (bool): Count with a second counter too, which takes as long again.

    Returns:
        Complexity: The counts.

    Raises:
        ValueError: ``shape`` is left out, and the recipe does not tell one.
    """
    is_config = isinstance(recipe, Config)
    shape = shape or (input_shape(recipe) if is_config else None)
    if shape is None:
        name = recipe.filename if is_config else type(recipe).__name__
        raise ValueError(f'{name} tells no image size (no Resize in its test pipeline, no data_preprocessor.size): '
                         f'give the shape, for example (800, 1333).')
    model = build_model(recipe) if is_config else recipe
    training = model.training
    model.eval()
    data = model.data_preprocessor(blank_image(shape), False)
    with _fixed_proposals(model, data['inputs'].shape[-2:]) as proposal_maps:
        counter, operators = _count(lambda: model(**data, mode='tensor'))
        macs = _macs_by_module(model, counter)
        second = None
        if crosscheck:
            with torch.no_grad(), _without_mha_fastpath():
                second = second_count(model, lambda: (model(**data, mode='tensor'), proposal_maps), macs)
    model.train(training)
    return Complexity(
        parameters=sum(p.numel() for p in model.parameters()),
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        macs=macs[''],
        shape=tuple(shape),
        modules=_module_costs(model, macs),
        uncounted=operators,
        second=second)


def _macs_by_module(model, counter):
    """By dotted name; '' is the whole model. A container that is itself never called has what its children have."""
    top = type(model).__name__
    macs = {name[len(top) + 1:]: sum(operators.values()) // 2
            for name, operators in counter.get_flop_counts().items() if name.startswith(f'{top}.')}
    for name, _ in reversed(list(model.named_modules())):  # children come before their parents
        if name and name not in macs:
            inner = [f'{name}.{child}' for child, _ in model.get_submodule(name).named_children()]
            macs[name] = sum(macs.get(child, 0) for child in inner)
    return {**macs, '': counter.get_total_flops() // 2}


def _module_costs(model, macs):
    return {name: ModuleCost(type(module).__name__, sum(p.numel() for p in module.parameters()), macs.get(name, 0))
            for name, module in model.named_modules() if name}


def blank_image(shape):
    """One black image as a data loader hands it to a model.

    Args:
        shape (tuple[int, int]): Height and width in pixels.

    Returns:
        dict: ``inputs``, a list of one (3, height, width) uint8 tensor, and ``data_samples``.
    """
    sample = BaseDataElement(metainfo=dict(img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0)))
    return dict(inputs=[torch.zeros(3, *shape, dtype=torch.uint8)], data_samples=[sample])


@contextlib.contextmanager
def _fixed_proposals(model, padded_shape):
    """Let an RPN compute its maps and hand on its maximum number of boxes: how many NMS leaves is chance.

    Yields the list that the maps are put into.
    """
    if not (getattr(model, 'with_rpn', False) and getattr(model, 'with_roi_head', False)):
        yield []
        return
    settings = model.test_cfg['rpn']
    number = settings.get('max_per_img') or settings['nms_post']
    height, width = padded_shape

    maps = []

    def predict(features, data_samples, rescale=False):
        maps[:] = model.rpn_head(features)
        boxes = features[0].new_tensor([[0, 0, width, height]]).repeat(number, 1)
        labels = torch.zeros(number, dtype=torch.long, device=boxes.device)
        return [InstanceData(bboxes=boxes, scores=boxes.new_ones(number), labels=labels) for _ in data_samples]

    with mock.patch.object(model.rpn_head, 'predict', predict):
        yield maps


@contextlib.contextmanager
def _without_mha_fastpath():
    """nn.MultiheadAttention's fused inference kernel is one operator that no rule counts: take the plain path."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
