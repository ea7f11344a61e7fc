"""Where the layers stand in the models that they were made for: what ``bench_layers`` times."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from mmxattn.layers import CFSAM, FINE, SCSA, CrossLayerAttention

from . import literal


@dataclass(frozen=True)
class Passes:
    """How often each map has to go through memory, however a layer is written.

    A map that is much larger than the caches is read anew after everything that depends on all of it.

    Attributes:
        inputs: For each input, the times that its bytes move: it is read, or in training its gradient written.
        output: Likewise for the output: it is written, and in training its gradient read.
    """

    inputs: tuple
    output: int


@dataclass(frozen=True)
class Case:
    """A layer, on maps of the shapes that it meets in a model.

    Attributes:
        layer: Key of ``LAYERS``.
        title: Sizes, for people.
        build: Makes the module and a tuple of its inputs, float32 on the CPU.
        literal: The literal form, called with the module and the inputs.
        inference: Passes over the maps in a forward pass.
        training: Passes over the maps in a forward and a backward pass.
        needs: Elements that the literal form holds at once, at least: in inference, in training. A form that does not
            fit into memory is left out.
    """

    layer: str
    title: str
    build: Callable
    literal: Callable
    inference: Passes
    training: Passes
    needs: tuple = (0, 0)


# Inference: x is read for the two means; again for the pooled gated map, since the gates follow from the means of whole
# rows and columns; and a third time for the product, which is written. Backward: x and the output's gradient are read
# for the gradients of the product's gates; x for those of the pooled map's; then, with all of them known, the output's
# gradient is read for x's, which is written.
SCSA_PASSES = dict(inference=Passes((3, ), 1), training=Passes((6, ), 3))

# Inference: low is read for the pooling and for the product, which is written; high for the pooling. Backward: low and
# the output's gradient are read for the modulation's gradient; once that has come back through the attention, the
# output's gradient is read for low's, which is written, and high's is written.
FINE_PASSES = dict(inference=Passes((2, 1), 1), training=Passes((4, 2), 3))

# Every map is read and every output written; backward, the inputs are read for the weights' gradients, the outputs'
# gradients are read and the inputs' written. What lies between could stay in caches, if they were large enough.
CFSAM_PASSES = dict(inference=Passes((1, ), 1), training=Passes((3, ), 2))
CLA_PASSES = dict(inference=Passes((1, 1, 1), 1), training=Passes((3, 3, 3), 2))

RESNET50_WIDTHS = (64, 128, 256, 512)  # after conv2 of a Bottleneck, layer1 to layer4
FPN_WIDTH = 256
SEGFORMER_B1_WIDTHS = (64, 128, 320, 512)
SEGFORMER_B1_EMBEDDING = 256


def cfsam(side):
    """CFSAM and its inputs, over an FPN of strides 4 to 64 for a square image."""
    shapes = [(1, FPN_WIDTH, side // stride, side // stride) for stride in (4, 8, 16, 32, 64)]
    return _build(partial(CFSAM, [FPN_WIDTH] * len(shapes), tokens_per_part=1024), shapes)


def segformer_b1_level(side, level):
    """Channels, and side in pixels for a square image, of a level of SegFormer-B1."""
    return SEGFORMER_B1_WIDTHS[level - 1], side // 2**(level + 1)


def cla(side, fine, coarse, patch_size):
    """CLA and its inputs, on a pair of levels of SegFormer-B1 for a square image."""
    embed = SEGFORMER_B1_EMBEDDING
    (fine_width, fine_side), (width, coarse_side) = (segformer_b1_level(side, level) for level in (fine, coarse))
    layer = partial(CrossLayerAttention, fine_width, width, embed, patch_size)
    return _build(layer, (1, fine_width, fine_side, fine_side),
                  *((1, channels, coarse_side, coarse_side) for channels in (width, embed)))


def scsa_cases():
    """SCSA in ResNet-50: an ImageNet batch, and one COCO image."""
    for batch, sizes in ((32, ((56, 56), (28, 28), (14, 14), (7, 7))),
                         (1, ((200, 336), (100, 168), (50, 84), (25, 42)))):
        for channels, (height, width) in zip(RESNET50_WIDTHS, sizes):
            yield Case('SCSA', f'{batch}x{channels}x{height}x{width}',
                       partial(_build, partial(SCSA, channels), (batch, channels, height, width)), literal.scsa,
                       **SCSA_PASSES)


def fine_cases():
    """FINE's two places in an FPN, at 800x1333 pixels."""
    for low, high, kernel_size in (((50, 84), (25, 42), 1), ((100, 168), (50, 84), 2)):
        shapes = [(1, FPN_WIDTH, *size) for size in (low, high)]
        yield Case('FINE', f'{low[0]}x{low[1]} with {high[0]}x{high[1]}, kernel_size={kernel_size}',
                   partial(_build, partial(FINE, FPN_WIDTH, kernel_size), *shapes), literal.fine, **FINE_PASSES)


def cfsam_cases():
    """CFSAM over an FPN at 320x320 pixels."""
    yield Case('CFSAM', '80x80 to 5x5, tokens_per_part=1024', partial(cfsam, 320), literal.cfsam, **CFSAM_PASSES)


def cla_cases():
    """CLA's two pairs in SegFormer-B1, at 512x512 pixels; the paper gives no patch size."""
    embed = SEGFORMER_B1_EMBEDDING
    for fine, coarse in ((2, 3), (1, 4)):
        (_, fine_side), (width, coarse_side) = (segformer_b1_level(512, level) for level in (fine, coarse))
        for patch in (1, 2, 4, 8):
            pairs = (fine_side // patch)**2 * (coarse_side // patch)**2  # N_i * N_j
            # beside the correlations, first their scaled form and then the mixed ones; backward, one gradient more
            held = width + max(width, embed)
            yield Case('CLA', f'levels {fine} and {coarse}, patch_size={patch}', partial(cla, 512, fine, coarse, patch),
                       literal.cla, **CLA_PASSES, needs=(held * pairs, (held + embed) * pairs))


LAYERS = dict(SCSA=scsa_cases, FINE=fine_cases, CFSAM=cfsam_cases, CLA=cla_cases)


def select(layers=None, only='', cases=None):
    """The cases of some layers.

    Args:
        layers (Sequence[str], optional): Their names; all by default.
        only (str): Text that a case's title has to hold.
        cases (Sequence[Case | Growth], optional): What to choose from; by default what ``LAYERS`` makes.

    Returns:
        list[Case | Growth]: In the order of ``layers``.

    Raises:
        ValueError: There is no such layer, or no such case.
    """
    if cases is None:
        cases = [case for make in LAYERS.values() for case in make()]
    there = list(dict.fromkeys(case.layer for case in cases))
    layers = layers or there
    for name in layers:
        if name not in there:
            raise ValueError(f'There is no layer {name!r} to time: take some of {", ".join(there)}.')
    cases = [case for name in layers for case in cases if case.layer == name]
    found = [case for case in cases if only in case.title]
    if not found:
        titles = '\n  '.join(case.title for case in cases)
        raise ValueError(f'No case of {", ".join(layers)} has {only!r} in its title; these are there:\n  {titles}')
    return found


def _build(layer, *shapes):
    """A layer and its inputs; a list of shapes stands for a list of maps."""
    return layer(), tuple([torch.randn(*shape) for shape in given] if isinstance(given, list) else torch.randn(*given)
                          for given in shapes)
