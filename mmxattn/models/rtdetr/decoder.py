"""RT-DETR's decoder: deformable attention around boxes that each layer refines."""
import torch
from mmdet.models.layers import MLP, inverse_sigmoid
from mmdet.models.layers.transformer.deformable_detr_layers import DeformableDetrTransformerDecoder
from torch import Tensor, nn

__all__ = ['RTDETRTransformerDecoder']


class RTDETRTransformerDecoder(DeformableDetrTransformerDecoder):
    """Deformable DETR's layers; the position of a query is what a small network makes of its box.

    Beside mmdet's DINO: no sine embedding of the box, no norm of the states, and boxes, not references, come out, so
    that each is regressed once.

    Paper: Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection".

    Args:
        num_layers: number of layers.
        layer_cfg: arguments of each mmdet DeformableDetrTransformerDecoderLayer.
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
            query: (B, queries, C).
            value: the levels' tokens, one level after another (B, tokens, C).
            key_padding_mask: True where a token is padding (B, tokens); None for none.
            self_attn_mask: True where a query must not see another (queries, queries); None for none.
            reference_points: the boxes to start from (B, queries, 4), (cx, cy, w, h) as fractions of the image.
            spatial_shapes: height and width of each level (levels, 2).
            level_start_index: the first token of each level (levels, ).
            valid_ratios: width and height of the image over those of the padded one (B, levels, 2).
            reg_branches: a layer's regression (..., C) -> (..., 4), at least one for each layer.

        Returns:
            Each layer's states (layers, B, queries, C) and boxes (layers, B, queries, 4).
        """
        ratios = torch.cat((valid_ratios, valid_ratios), -1)[:, None]  # (B, 1, levels, 4)
        states, boxes = [], []
        reference = before = reference_points
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
            change = regress(query)
            states.append(query)
            # one value, two gradients: the loss of a box also reaches the layer before ("look forward twice")
            boxes.append((change + inverse_sigmoid(before)).sigmoid())
            before = (change + inverse_sigmoid(reference)).sigmoid() if self.training else boxes[-1]
            reference = before.detach()
        return torch.stack(states), torch.stack(boxes)
