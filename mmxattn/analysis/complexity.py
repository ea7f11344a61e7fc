"""What a model costs: parameters, and multiply-adds with attention counted.

The counters of mmengine and fvcore have no rule for ``scaled_dot_product_attention``; PyTorch's own has one for each
GPU kernel, and here is the one for the CPU's. Counted are convolutions, linear layers, matrix products and attention.
Normalisation, activations, pooling, interpolation, RoIAlign, NMS and the toolboxes' own compiled operators are not.
"""

import contextlib
from dataclasses import dataclass
from unittest import mock

import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement, InstanceData
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from .recipe import build_model, input_shape


def attention_flops(query, key, value, *args, **kwargs):
    """FLOPs of the CPU's fused attention, from the shapes of its first three arguments."""
    return sdpa_flop_count(query, key, value)


RULES = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}  # as of torch 2.13 not built in


@dataclass(frozen=True)
class Complexity:
    """The cost of one forward pass of one image.

    Attributes:
        parameters: Number of parameters, frozen ones included.
        trainable_parameters: Those that training changes.
        macs: Multiply-adds, each counted once.
        shape: Height and width of the image in pixels, before the preprocessor pads it.
    """

    parameters: int
    trainable_parameters: int
    macs: int
    shape: tuple

    @property
    def flops(self):
        """Floating-point operations: two a multiply-add."""
        return 2 * self.macs


def count_macs(function):
    """Count the multiply-adds of whatever ``function()`` computes.

    Args:
        function (Callable[[], object]): Called once, without gradients.

    Returns:
        int: Multiply-adds, each counted once.
    """
    counter = FlopCounterMode(display=False, custom_mapping=RULES)
    with torch.no_grad(), _without_mha_fastpath(), counter:
        function()
    return counter.get_total_flops() // 2


def complexity(recipe, shape=None):
    """Parameters and multiply-adds of a detector or a segmentor, from the image to the heads' raw output.

    The count does not depend on weights or on the image: a two-stage detector gets as many proposals as its test
    settings allow. Auxiliary heads, which only training uses, are in the parameters and not in the multiply-adds.

    Args:
        recipe (mmengine.config.Config | torch.nn.Module): A recipe, or a model that one built.
        shape (tuple[int, int], optional): Height and width in pixels. By default the recipe's own.

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
    with _fixed_proposals(model, data['inputs'].shape[-2:]):
        macs = count_macs(lambda: model(**data, mode='tensor'))
    model.train(training)
    parameters = list(model.parameters())
    return Complexity(
        parameters=sum(p.numel() for p in parameters),
        trainable_parameters=sum(p.numel() for p in parameters if p.requires_grad),
        macs=macs,
        shape=tuple(shape))


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
    """Let an RPN compute its maps and hand on its maximum number of boxes: how many NMS leaves is chance."""
    if not (getattr(model, 'with_rpn', False) and getattr(model, 'with_roi_head', False)):
        yield
        return
    settings = model.test_cfg['rpn']
    number = settings.get('max_per_img') or settings['nms_post']
    height, width = padded_shape

    def predict(features, data_samples, rescale=False):
        model.rpn_head(features)
        boxes = features[0].new_tensor([[0, 0, width, height]]).repeat(number, 1)
        labels = torch.zeros(number, dtype=torch.long, device=boxes.device)
        return [InstanceData(bboxes=boxes, scores=boxes.new_ones(number), labels=labels) for _ in data_samples]

    with mock.patch.object(model.rpn_head, 'predict', predict):
        yield


@contextlib.contextmanager
def _without_mha_fastpath():
    """nn.MultiheadAttention's fused inference kernel is one operator that no rule counts: take the plain path."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
