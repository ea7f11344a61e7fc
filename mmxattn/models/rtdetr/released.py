"""Weights of RT-DETR's own release under the names of :class:`RTDETR`.

The release (version 1, PyTorch) keeps a checkpoint's averaged weights under ``ema``. Nothing is computed here: every
tensor goes over as it is, and what the release only caches (anchors for one image size) is left out.

.. code-block:: console

    $ mim run mmxattn convert_rtdetr rtdetr_r18vd_dec3_6x_coco_from_paddle.pth rtdetr_r18vd.pth
"""
import re
from pathlib import Path

import torch
from torch import Tensor

from ...utils.checkpoints import read_checkpoint
from .resnet_vd import from_released as backbone_from_released

__all__ = ['convert', 'from_released']

CACHED = ('decoder.anchors', 'decoder.valid_mask')
NAMES = (
    (r'\.self_attn\.', '.self_attn.attn.'),  # inside a Transformer layer, of the encoder and of the decoder
    (r'\.linear1\.', '.ffn.layers.0.0.'),
    (r'\.linear2\.', '.ffn.layers.1.'),
    (r'\.norm(\d)\.', lambda m: f'.norms.{int(m[1]) - 1}.'),
    (r'^encoder\.input_proj\.(\d)\.0\.', r'neck.input_proj.\1.conv.'),
    (r'^encoder\.input_proj\.(\d)\.1\.', r'neck.input_proj.\1.norm.'),
    (r'^encoder\.encoder\.0\.', 'neck.encoder.'),
    (r'^encoder\.', 'neck.'),
    (r'^decoder\.input_proj\.(\d)\.conv\.', r'memory_proj.\1.conv.'),
    (r'^decoder\.input_proj\.(\d)\.norm\.', r'memory_proj.\1.bn.'),
    (r'^decoder\.decoder\.', 'decoder.'),
    (r'^decoder\.query_pos_head\.', 'decoder.ref_point_head.'),
    (r'^decoder\.denoising_class_embed\.', 'dn_query_generator.label_embedding.'),
    (r'^decoder\.enc_output\.0\.', 'memory_trans_fc.'),
    (r'^decoder\.enc_output\.1\.', 'memory_trans_norm.'),
    (r'^decoder\.dec_score_head\.', 'bbox_head.cls_branches.'),
    (r'^decoder\.dec_bbox_head\.(\d)\.layers\.(\d)\.', lambda m: f'bbox_head.reg_branches.{m[1]}.{2 * int(m[2])}.'),
)


def from_released(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """A detector's state dict under the release's names -> under those of :class:`RTDETR`.

    Raises:
        ValueError: the names are not those of RT-DETR's release.
    """
    layers = len({name for name in state_dict if re.match(r'decoder\.dec_score_head\.\d\.weight', name)})
    if not layers or 'backbone.conv1.conv1_1.conv.weight' not in state_dict:
        raise ValueError(f'RTDETR: {len(state_dict)} tensors without backbone.conv1.conv1_1.conv.weight and '
                         "decoder.dec_score_head are no weights of RT-DETR's release (version 1, PyTorch).")
    # mmdet keeps the heads of the tokens behind those of the layers
    heads = ((r'^decoder\.enc_score_head\.', f'decoder.dec_score_head.{layers}.'),
             (r'^decoder\.enc_bbox_head\.', f'decoder.dec_bbox_head.{layers}.'))
    prefix = 'backbone.'
    backbone = backbone_from_released(
        {name[len(prefix):]: tensor for name, tensor in state_dict.items() if name.startswith(prefix)})
    renamed = {prefix + name: tensor for name, tensor in backbone.items()}
    for name, tensor in state_dict.items():
        if name.startswith(prefix) or name in CACHED:
            continue
        for pattern, replacement in (*heads, *NAMES):
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


def convert(source: str | Path, target: str | Path) -> None:
    """Write a checkpoint of the release as one that ``load_from`` and ``mim test`` take.

    Args:
        source: the release's file; its averaged weights are taken where it has some.
        target: where to write.

    Raises:
        ValueError: there is no such file, or none of tensors; the weights are not the release's; the target is the
            source, or has no folder. Nothing is written then.
    """
    source, target = Path(source), Path(target)
    if not source.is_file():
        raise ValueError(f"There is no file {source}: give one of RT-DETR's release.")
    if target.resolve() == source.resolve() or not target.parent.is_dir():
        raise ValueError(f'{target} cannot be the target: give another file than the source, in a folder that there '
                         'is.')
    checkpoint = read_checkpoint(source)
    if not isinstance(checkpoint, dict):
        checkpoint = {}
    if 'ema' in checkpoint:
        weights = checkpoint['ema']['module']
    else:
        weights = checkpoint.get('model', checkpoint)
    torch.save(dict(state_dict=from_released(weights)), target)
