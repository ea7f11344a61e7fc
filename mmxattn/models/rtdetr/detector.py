"""RT-DETR detector."""
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
    """RT-DETR: a hybrid encoder as the neck, query selection from its tokens, DINO's denoising and losses.

    Differences from mmdet's DINO: the neck (:class:`RTDETRHybridEncoder`) is the encoder, queries are initialized
    with the selected tokens, and decoder and head are :class:`RTDETRTransformerDecoder` and :class:`RTDETRHead`.

    Differences from the release, which only supports square images without padding: images of different sizes are
    padded, and query selection and decoder mask the padding as mmdet's DETRs do; small images may have fewer tokens
    than ``num_queries``.

    Args:
        *args: Arguments of :class:`mmdet.models.DINO`.
        num_feature_levels: Number of maps of the neck.
        **kwargs: Arguments of :class:`mmdet.models.DINO`, without ``encoder`` and ``positional_encoding``.

    Raises:
        ValueError: If the number of levels or ``embed_dims`` differs between the neck, the decoder and the head.
    """

    def __init__(self, *args: Any, num_feature_levels: int = 3, **kwargs: Any):
        super().__init__(
            *args, num_feature_levels=num_feature_levels, with_box_refine=True, as_two_stage=True, **kwargs)
        decoder_levels = self.decoder.layers[0].cross_attn.num_levels
        if decoder_levels != num_feature_levels:
            raise ValueError(f"RTDETR: num_feature_levels must equal num_levels of the decoder's cross attention, got "
                             f'{num_feature_levels} and {decoder_levels}.')
        if self.bbox_head.embed_dims != self.embed_dims:
            raise ValueError(f'RTDETR: embed_dims of decoder and bbox_head must be equal, got {self.embed_dims} and '
                             f'{self.bbox_head.embed_dims}.')
        # The embedding of the release has a padding row that is never used. Here, padded queries are zero.
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
        """Initialize the decoder and the query selection as in the release."""
        super(DeformableDETR, self).init_weights()
        for parameter in self.decoder.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for module in self.decoder.modules():
            if isinstance(module, MultiScaleDeformableAttention):
                module.init_weights()
        nn.init.xavier_uniform_(self.memory_trans_fc.weight)

    def pre_transformer(self, mlvl_feats: tuple[Tensor, ...],
                        batch_data_samples: list | None = None) -> tuple[dict, dict]:
        """Flatten the neck's maps into tokens.

        Args:
            mlvl_feats: Maps of the neck.
            batch_data_samples: Data samples with the sizes of the images and of the padded batch.

        Returns:
            Inputs of :meth:`forward_encoder` and of the decoder.
        """
        if len(mlvl_feats) != len(self.memory_proj):
            raise ValueError(f'RTDETR: num_feature_levels must equal the number of maps of the neck, got '
                             f'{len(self.memory_proj)} and {len(mlvl_feats)}.')
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
        """Return a mask (B, H, W) per level, True at padding, or None if no image is padded."""
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
        """Return the inputs; the neck is the encoder."""
        return encoder_inputs

    def pre_decoder(self, memory: Tensor, memory_mask: Tensor | None, spatial_shapes: list[tuple[int, int]],
                    batch_data_samples: list | None = None) -> tuple[dict, dict]:
        """Select the tokens with the highest scores as queries and prepend denoising queries in training.

        Scores are trained to be the IoU (:class:`IoUVarifocalLoss`), so they rate class and localization together:
        the paper's uncertainty-minimal query selection (Eq. 2 and 3).
        """
        tokens, proposals = self.gen_encoder_output_proposals(memory, memory_mask, spatial_shapes)
        scores = self.bbox_head.cls_branches[-1](tokens)  # (B, tokens, classes)
        boxes = self.bbox_head.reg_branches[-1](tokens) + proposals
        num_queries = min(self.num_queries, tokens.shape[1])
        selected = scores.amax(-1).topk(num_queries, dim=1).indices[..., None]  # (B, queries, 1)
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
