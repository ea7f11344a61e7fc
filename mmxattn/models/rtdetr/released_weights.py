"""Conversion of RT-DETR's released checkpoints (version 1, PyTorch) to :class:`RTDETR`.

Keys are renamed and tensors copied; anchors, which the release caches for one image size, are left out.

.. code-block:: console

    $ mim run mmxattn convert_rtdetr rtdetr_r18vd_dec3_6x_coco_from_paddle.pth rtdetr_r18vd.pth
"""
import re
from pathlib import Path

import torch
from torch import Tensor

from ...utils.checkpoints import read_checkpoint
from .resnet_vd import convert_backbone

__all__ = ['convert_checkpoint', 'convert_state_dict']

CACHED = ('decoder.anchors', 'decoder.valid_mask')
NAMES = (
    (r'\.self_attn\.', '.self_attn.attn.'),  # in the Transformer layers of encoder and decoder
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


def convert_state_dict(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of a released detector to those of :class:`RTDETR`.

    Args:
        state_dict: State dict of the release.

    Returns:
        State dict of :class:`RTDETR`.

    Raises:
        ValueError: If the keys are not those of RT-DETR's release.
    """
    num_layers = len({name for name in state_dict if re.match(r'decoder\.dec_score_head\.\d\.weight', name)})
    if not num_layers or 'backbone.conv1.conv1_1.conv.weight' not in state_dict:
        raise ValueError("Expected weights of RT-DETR's release (version 1, PyTorch) with keys "
                         'backbone.conv1.conv1_1.conv.weight and decoder.dec_score_head.*, got '
                         f'{len(state_dict)} other tensors.')
    # mmdet appends the heads for query selection to those of the decoder layers.
    heads = ((r'^decoder\.enc_score_head\.', f'decoder.dec_score_head.{num_layers}.'),
             (r'^decoder\.enc_bbox_head\.', f'decoder.dec_bbox_head.{num_layers}.'))
    prefix = 'backbone.'
    backbone = convert_backbone(
        {name[len(prefix):]: tensor for name, tensor in state_dict.items() if name.startswith(prefix)})
    renamed = {prefix + name: tensor for name, tensor in backbone.items()}
    for name, tensor in state_dict.items():
        if name.startswith(prefix) or name in CACHED:
            continue
        for pattern, replacement in (*heads, *NAMES):
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


def convert_checkpoint(source: str | Path, target: str | Path) -> None:
    """Convert a released checkpoint to one for ``load_from`` and ``mim test``.

    Args:
        source: Released file. Its averaged weights (``ema``) are used if it has any.
        target: File to write.

    Raises:
        ValueError: If ``source`` is missing or not a checkpoint of the release, or if ``target`` is ``source`` or in a
            missing folder. No file is written in these cases.
    """
    source, target = Path(source), Path(target)
    if not source.is_file():
        raise ValueError(f"There is no file {source}. Pass a checkpoint of RT-DETR's release.")
    if target.resolve() == source.resolve():
        raise ValueError(f'target must differ from source, got {target} for both.')
    if not target.parent.is_dir():
        raise ValueError(f'target must be in an existing folder, got {target}.')
    checkpoint = read_checkpoint(source)
    if not isinstance(checkpoint, dict):
        checkpoint = {}
    if 'ema' in checkpoint:
        weights = checkpoint['ema']['module']
    else:
        weights = checkpoint.get('model', checkpoint)
    torch.save(dict(state_dict=convert_state_dict(weights)), target)
