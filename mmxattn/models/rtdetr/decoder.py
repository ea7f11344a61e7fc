"""Decoder of RT-DETR: deformable attention around boxes that each layer refines."""
import torch
from mmdet.models.layers import MLP, inverse_sigmoid
from mmdet.models.layers.transformer.deformable_detr_layers import DeformableDetrTransformerDecoder
from torch import Tensor, nn

__all__ = ['RTDETRTransformerDecoder']


class RTDETRTransformerDecoder(DeformableDetrTransformerDecoder):
    """Deformable DETR's decoder with query positions computed from the boxes by an MLP.

    Differences from mmdet's DINO: no sine embedding of the boxes, no norm of the hidden states, and the output is
    boxes instead of reference points, so each box is regressed once.

    Args:
        num_layers: Number of layers.
        layer_cfg: Arguments of mmdet's DeformableDetrTransformerDecoderLayer.
    """

    def __init__(self, num_layers: int, layer_cfg: dict):
        super().__init__(num_layers, layer_cfg, post_norm_cfg=None)

    def _init_layers(self) -> None:
        super()._init_layers()
        self.ref_point_head = MLP(4, 2 * self.embed_dims, self.embed_dims, 2)

    def forward(self, query: Tensor, value: Tensor, key_padding_mask: Tensor | None, self_attn_mask: Tensor | None,
                reference_points: Tensor, spatial_shapes: Tensor, level_start_index: Tensor, valid_ratios: Tensor,
                reg_branches: nn.ModuleList) -> tuple[Tensor, Tensor]:
        """Refine the boxes of the queries layer by layer.

        Args:
            query: Queries of shape (B, num_queries, C).
            value: Tokens of all levels, concatenated, of shape (B, num_tokens, C).
            key_padding_mask: True at padding tokens, of shape (B, num_tokens), or None.
            self_attn_mask: True where a query must not attend to another, of shape (num_queries, num_queries), or
                None.
            reference_points: Initial boxes (cx, cy, w, h), relative to the image, of shape (B, num_queries, 4).
            spatial_shapes: Height and width of each level, of shape (num_levels, 2).
            level_start_index: Index of the first token of each level, of shape (num_levels,).
            valid_ratios: Width and height of the image over those of the padded image, of shape (B, num_levels, 2).
            reg_branches: Box regression (..., C) -> (..., 4) of each layer.

        Returns:
            Hidden states (num_layers, B, num_queries, C) and boxes (num_layers, B, num_queries, 4).
        """
        ratios = torch.cat((valid_ratios, valid_ratios), -1)[:, None]  # (B, 1, levels, 4)
        states, boxes = [], []
        reference = previous = reference_points
        for layer, regress in zip(self.layers, reg_branches):
            query = layer(
                query,
                query_pos=self.ref_point_head(reference),
                value=value,
                key_padding_mask=key_padding_mask,
                self_attn_mask=self_attn_mask,
                reference_points=reference[:, :, None] * ratios,  # (B, queries, levels, 4)
                spatial_shapes=spatial_shapes,
                level_start_index=level_start_index)
            delta = regress(query)
            states.append(query)
            # DINO's "look forward twice": the same values, but the loss also reaches the previous layer's box.
            boxes.append((delta + inverse_sigmoid(previous)).sigmoid())
            previous = (delta + inverse_sigmoid(reference)).sigmoid() if self.training else boxes[-1]
            reference = previous.detach()
        return torch.stack(states), torch.stack(boxes)
