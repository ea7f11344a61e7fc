"""Benchmark cases: the layers on feature maps of the models in their papers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from mmxattn.layers import CFSAM, FINE, SCSA, CrossLayerAttention
from mmxattn.layers.cla import cross_layer_attention_reference


@dataclass(frozen=True)
class MemoryPasses:
    """Minimum number of passes over each map, for any implementation.

    A map that is much larger than the caches is read again after each computation that depends on all of it.

    Attributes:
        inputs: For each input, how often its bytes move: it is read, or in training its gradient is written.
        output: Likewise for the output: it is written, and in training its gradient is read.
    """

    inputs: tuple[int, ...]
    output: int


@dataclass(frozen=True)
class Case:
    """Layer with inputs of given sizes.

    Attributes:
        layer: Key of ``LAYERS``.
        title: Sizes, for display.
        build: Creates the module and a tuple of its inputs, in float32 on the CPU.
        inference: Passes over the maps in a forward pass.
        training: Passes over the maps in a forward and a backward pass.
        reference: Reference form, called with the module and its inputs. None if the layer has no other form.
        reference_numel: Minimum number of elements that the reference form holds at once, in inference and training.
            It is skipped if it does not fit into memory.
    """

    layer: str
    title: str
    build: Callable[[], tuple[nn.Module, tuple]]
    inference: MemoryPasses
    training: MemoryPasses
    reference: Callable | None = None
    reference_numel: tuple[int, int] = (0, 0)


# Inference: x is read for the two means, again for the pooled gated map (the gates depend on whole rows and columns),
# and a third time for the product, which is written. Backward: x and the output's gradient are read for the gradients
# of the gates, x again for those of the pooled map, and finally the output's gradient for that of x, which is written.
SCSA_PASSES = dict(inference=MemoryPasses((3, ), 1), training=MemoryPasses((6, ), 3))

# Inference: low is read for the pooling and for the product, which is written, and high for the pooling. Backward: low
# and the output's gradient are read for the gradient of the modulation. After the backward pass of the attention, the
# output's gradient is read for that of low, and the gradients of low and high are written.
FINE_PASSES = dict(inference=MemoryPasses((2, 1), 1), training=MemoryPasses((4, 2), 3))

# Every map is read and every output written. Backward, the inputs are read for the gradients of the weights, the
# outputs' gradients are read and the inputs' written. Intermediate maps could stay in caches, if these were large
# enough.
CFSAM_PASSES = dict(inference=MemoryPasses((1, ), 1), training=MemoryPasses((3, ), 2))
CLA_PASSES = dict(inference=MemoryPasses((1, 1, 1), 1), training=MemoryPasses((3, 3, 3), 2))

RESNET50_CHANNELS = (64, 128, 256, 512)  # after conv2 of a Bottleneck, layer1 to layer4
FPN_CHANNELS = 256
SEGFORMER_B1_CHANNELS = (64, 128, 320, 512)
SEGFORMER_B1_EMBEDDING = 256


def build_cfsam(side: int) -> tuple[nn.Module, tuple]:
    """Create CFSAM and its inputs, an FPN of strides 4 to 64 for a square image."""
    shapes = [(1, FPN_CHANNELS, side // stride, side // stride) for stride in (4, 8, 16, 32, 64)]
    return _build(partial(CFSAM, [FPN_CHANNELS] * len(shapes), tokens_per_part=1024), shapes)


def build_cla(side: int, fine: int, coarse: int, patch_size: int) -> tuple[nn.Module, tuple]:
    """Create CLA and its inputs, a pair of levels of SegFormer-B1 for a square image."""
    embed = SEGFORMER_B1_EMBEDDING
    (fine_channels, fine_side), (channels, coarse_side) = (segformer_b1_level(side, level) for level in (fine, coarse))
    layer = partial(CrossLayerAttention, fine_channels, channels, embed, patch_size)
    return _build(layer, (1, fine_channels, fine_side, fine_side),
                  *((1, number, coarse_side, coarse_side) for number in (channels, embed)))


def segformer_b1_level(side: int, level: int) -> tuple[int, int]:
    """Return channels and side of a level of SegFormer-B1 for a square image."""
    return SEGFORMER_B1_CHANNELS[level - 1], side // 2**(level + 1)


def scsa_cases() -> Iterator[Case]:
    """SCSA in ResNet-50, for an ImageNet batch and one COCO image."""
    for batch, sizes in ((32, ((56, 56), (28, 28), (14, 14), (7, 7))),
                         (1, ((200, 336), (100, 168), (50, 84), (25, 42)))):
        for channels, (height, width) in zip(RESNET50_CHANNELS, sizes):
            yield Case('SCSA', f'{batch}x{channels}x{height}x{width}',
                       partial(_build, partial(SCSA, channels), (batch, channels, height, width)),
                       reference=SCSA.forward_reference, **SCSA_PASSES)


def fine_cases() -> Iterator[Case]:
    """Both FINE modules of an FPN, for 800x1333 pixels."""
    for low, high, kernel_size in (((50, 84), (25, 42), 1), ((100, 168), (50, 84), 2)):
        shapes = [(1, FPN_CHANNELS, *size) for size in (low, high)]
        yield Case('FINE', f'{low[0]}x{low[1]} with {high[0]}x{high[1]}, kernel_size={kernel_size}',
                   partial(_build, partial(FINE, FPN_CHANNELS, kernel_size), *shapes), **FINE_PASSES)


def cfsam_cases() -> Iterator[Case]:
    """CFSAM on an FPN, for 320x320 pixels."""
    yield Case('CFSAM', '80x80 to 5x5, tokens_per_part=1024', partial(build_cfsam, 320), **CFSAM_PASSES)


def cla_cases() -> Iterator[Case]:
    """Both pairs of levels of SegFormer-B1, for 512x512 pixels. The paper gives no patch size."""
    embed = SEGFORMER_B1_EMBEDDING
    for fine, coarse in ((2, 3), (1, 4)):
        (_, fine_side), (channels, coarse_side) = (segformer_b1_level(512, level) for level in (fine, coarse))
        for patch_size in (1, 2, 4, 8):
            pairs = (fine_side // patch_size)**2 * (coarse_side // patch_size)**2  # N_i * N_j
            held = channels + embed  # the correlation and its mix; another gradient of the mix in training
            yield Case('CLA', f'levels {fine} and {coarse}, patch_size={patch_size}',
                       partial(build_cla, 512, fine, coarse, patch_size), reference=cross_layer_attention_reference,
                       reference_numel=(held * pairs, (held + embed) * pairs), **CLA_PASSES)


LAYERS = dict(SCSA=scsa_cases, FINE=fine_cases, CFSAM=cfsam_cases, CLA=cla_cases)


def select(layers: Sequence[str] | None = None, only: str = '', cases: Sequence | None = None) -> list:
    """Select cases by layer and title.

    Args:
        layers: Names of layers. Default: all.
        only: Text that the title must contain.
        cases: Cases or scaling cases to select from. Default: those of ``LAYERS``.

    Returns:
        Cases in the order of ``layers``.

    Raises:
        ValueError: If a layer is unknown or no case is left.
    """
    if cases is None:
        cases = [case for create in LAYERS.values() for case in create()]
    known = list(dict.fromkeys(case.layer for case in cases))
    layers = layers or known
    for name in layers:
        if name not in known:
            raise ValueError(f'Layers must be among {", ".join(known)}, got {name!r}.')
    cases = [case for name in layers for case in cases if case.layer == name]
    selected = [case for case in cases if only in case.title]
    if not selected:
        titles = '\n  '.join(case.title for case in cases)
        raise ValueError(f'{only!r} must be part of a title of {", ".join(layers)}:\n  {titles}')
    return selected


def _build(layer, *shapes):
    """Create a layer and its inputs. A list of shapes is a list of maps."""
    return layer(), tuple([torch.randn(*size) for size in shape] if isinstance(shape, list) else torch.randn(*shape)
                          for shape in shapes)
