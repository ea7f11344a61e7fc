"""Small RT-DETR models and their inputs."""
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

import recipes

WIDTH, CLASSES, LAYERS, QUERIES = 16, 5, 2, 12


def small(name='rtdetr_r18vd_8xb2-72e_coco', width=WIDTH, queries=QUERIES, **changes):
    """A recipe with 16 channels, 5 classes, 2 decoder layers and 12 queries; ``changes``: dotted keys of its model."""
    cfg = Config.fromfile(recipes.CONFIGS / 'rtdetr' / f'{name}.py')
    attention = dict(embed_dims=width, num_heads=4)
    ffn = dict(embed_dims=width, feedforward_channels=2 * width)
    backbone = width // 4
    model = {
        'num_queries': queries,
        'backbone.base_channels': backbone,
        'neck.in_channels': [backbone * cfg.model.neck.in_channels[i] // 64 for i in range(3)],
        'neck.out_channels': width,
        'neck.encoder.layer_cfg': dict(self_attn_cfg=attention, ffn_cfg=ffn),
        'decoder.num_layers': LAYERS,
        'decoder.layer_cfg': dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=ffn),
        'bbox_head.num_classes': CLASSES,
        'bbox_head.embed_dims': width,
        'dn_cfg.group_cfg.num_dn_queries': 10,
        **changes,
    }
    cfg.merge_from_dict({f'model.{key}': value for key, value in model.items()})
    cfg.model.data_preprocessor.batch_augments = None
    return cfg


def build(cfg, seed=0):
    """The model with random box regressions; they start at zero, which blocks gradients."""
    model = recipes.build(cfg, seed)
    for branch in model.bbox_head.reg_branches:
        torch.nn.init.normal_(branch[-1].weight, std=0.1)
    return model


def sample(size, padded=None, labels=(), boxes=()):
    """Data sample of an image of ``size`` in a batch padded to ``padded``."""
    sample = DetDataSample(metainfo=dict(
        img_shape=size, ori_shape=size, batch_input_shape=padded or size, pad_shape=padded or size,
        scale_factor=(1., 1.), img_id=0))
    sample.gt_instances = InstanceData(labels=labels, bboxes=boxes)
    return sample
