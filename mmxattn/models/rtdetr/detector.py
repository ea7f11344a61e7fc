"""RT-DETR for mmdet."""
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models.detectors import DINO, DeformableDETR
from torch import Tensor, nn

from ...registry import MODELS
from ...utils.memory_format import to_tokens
from .decoder import RTDETRTransformerDecoder

__all__ = ['RTDETR']


@MODELS.register_module()
class RTDETR(DINO):
    """RT-DETR: a hybrid encoder as the neck, queries selected from its tokens, DINO's denoising and losses.

    Paper: Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection", version 1 as released. Beside mmdet's DINO:
    the neck (:class:`RTDETRHybridEncoder`) is the encoder; a query starts as the token that it was selected from; the
    decoder is :class:`RTDETRTransformerDecoder`, the head :class:`RTDETRHead`.

    Beside the release, which sees squares without padding: padded images of unequal sizes pass, with padding masked in
    query selection and decoder, as in mmdet's DETRs; a small image may have fewer tokens than queries were asked for.

    Args:
        *args, **kwargs: those of :class:`mmdet.models.DINO`; ``encoder`` and ``positional_encoding`` stay out, and
            ``num_feature_levels`` is the number of the neck's maps.

    Raises:
        ValueError: a decoder of other levels or a head of another width; at the first forward another number of maps.
    """

    set_inside = ('with_box_refine', 'as_two_stage')

    def __init__(self, *args: Any, num_feature_levels: int = 3, **kwargs: Any):
        super().__init__(
            *args, num_feature_levels=num_feature_levels, with_box_refine=True, as_two_stage=True, **kwargs)
        levels = self.decoder.layers[0].cross_attn.num_levels
        if levels != num_feature_levels or self.bbox_head.embed_dims != self.embed_dims:
            raise ValueError(
                f'RTDETR: num_feature_levels={num_feature_levels} has to be that of the cross attention of the decoder '
                f'(num_levels={levels}), and embed_dims={self.embed_dims} of the decoder that of bbox_head '
                f'(embed_dims={self.bbox_head.embed_dims}).')
        # the release's table has a row for padding, which is never read: padded queries are zeros here
        self.dn_query_generator.label_embedding = nn.Embedding(
            self.bbox_head.num_classes + 1, self.embed_dims, padding_idx=self.bbox_head.num_classes)

    def _init_layers(self) -> None:
        self.decoder = RTDETRTransformerDecoder(**self.decoder)
        self.embed_dims = self.decoder.embed_dims
        self.memory_proj = nn.ModuleList(
            ConvModule(self.embed_dims, self.embed_dims, 1, norm_cfg=dict(type='BN'), act_cfg=None)
            for _ in range(self.num_feature_levels))
        self.memory_trans_fc = nn.Linear(self.embed_dims, self.embed_dims)
        self.memory_trans_norm = nn.LayerNorm(self.embed_dims)

    def init_weights(self) -> None:
        super(DeformableDETR, self).init_weights()
        for parameter in self.decoder.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for module in self.decoder.modules():
            if isinstance(module, MultiScaleDeformableAttention):
                module.init_weights()
        nn.init.xavier_uniform_(self.memory_trans_fc.weight)

    def pre_transformer(self, mlvl_feats: tuple[Tensor, ...], batch_data_samples: list = None) -> tuple[dict, dict]:
        """Maps -> tokens, and what the decoder has to know of where they come from."""
        if len(mlvl_feats) != len(self.memory_proj):
            raise ValueError(f'RTDETR: got {len(mlvl_feats)} maps from the neck; num_feature_levels asks for '
                             f'{len(self.memory_proj)}.')
        maps = [project(x) for project, x in zip(self.memory_proj, mlvl_feats)]
        shapes = [tuple(x.shape[2:]) for x in maps]
        memory = torch.cat([to_tokens(x) for x in maps], 1)  # (B, tokens, C)
        masks = self.padding_masks(memory, shapes, batch_data_samples)
        if masks is None:
            memory_mask, valid_ratios = None, memory.new_ones(len(memory), len(maps), 2)
        else:
            memory_mask = torch.cat([mask.flatten(1) for mask in masks], 1)  # (B, tokens)
            valid_ratios = torch.stack([self.get_valid_ratio(mask) for mask in masks], 1)
        sizes = torch.tensor([h * w for h, w in shapes], device=memory.device)
        encoder_inputs = dict(memory=memory, memory_mask=memory_mask, spatial_shapes=shapes)
        decoder_inputs = dict(
            memory_mask=memory_mask,
            spatial_shapes=torch.tensor(shapes, device=memory.device),
            level_start_index=sizes.cumsum(0) - sizes,
            valid_ratios=valid_ratios)
        return encoder_inputs, decoder_inputs

    @staticmethod
    def padding_masks(like: Tensor, shapes: list[tuple[int, int]],
                      batch_data_samples: list | None) -> list[Tensor] | None:
        """True where a level's pixel is padding, (B, H, W) a level; None where no image is known to be padded."""
        if batch_data_samples is None:
            return None
        padded = tuple(batch_data_samples[0].batch_input_shape)
        sizes = [tuple(sample.img_shape[:2]) for sample in batch_data_samples]
        if all(size == padded for size in sizes):
            return None
        mask = like.new_ones(len(sizes), 1, *padded)
        for image, (height, width) in zip(mask, sizes):
            image[:, :height, :width] = 0
        return [F.interpolate(mask, size=shape)[:, 0].bool() for shape in shapes]

    def forward_encoder(self, **encoder_inputs: Any) -> dict:
        """The neck was the encoder."""
        return encoder_inputs

    def pre_decoder(self, memory: Tensor, memory_mask: Tensor | None, spatial_shapes: list[tuple[int, int]],
                    batch_data_samples: list = None) -> tuple[dict, dict]:
        """Select the tokens of the highest score as queries, and put denoising queries before them.

        The score learns to be the IoU (:class:`IoUVarifocalLoss`), so it tells of class and place together: this is
        the paper's uncertainty-minimal query selection (Eq. 2 and 3).
        """
        tokens, proposals = self.gen_encoder_output_proposals(memory, memory_mask, spatial_shapes)
        scores = self.bbox_head.cls_branches[-1](tokens)  # (B, tokens, classes)
        boxes = self.bbox_head.reg_branches[-1](tokens) + proposals
        number = min(self.num_queries, tokens.shape[1])
        selected = scores.amax(-1).topk(number, dim=1).indices[..., None]  # (B, queries, 1)
        query, scores, boxes = (x.gather(1, selected.expand(-1, -1, x.shape[2])) for x in (tokens, scores, boxes))
        query, reference, dn_mask = query.detach(), boxes.detach().sigmoid(), None
        head_inputs = {}
        if self.training:
            dn_query, dn_boxes, dn_mask, dn_meta = self.dn_query_generator(batch_data_samples)
            query = torch.cat((dn_query, query), 1)
            reference = torch.cat((dn_boxes.sigmoid(), reference), 1)
            dn_mask = dn_mask[:query.shape[1], :query.shape[1]]
            head_inputs = dict(enc_outputs_class=scores, enc_outputs_coord=boxes.sigmoid(), dn_meta=dn_meta)
        decoder_inputs = dict(query=query, memory=memory, reference_points=reference, dn_mask=dn_mask)
        return decoder_inputs, head_inputs
