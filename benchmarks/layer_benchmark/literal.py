"""The papers' equations in the operators that one would first write, for the layers to be timed against.

Each takes a layer and computes from its parameters what the paper prints: no step is joined with another or exchanged,
and no fused operator stands for several. They stand for the layers' default settings, with any window, pooling, number
of heads, parts and patch size: no ``zero_init``, softmax attention with a feed-forward network and the residual
modulation in FINE, no residual around CFSAM.
"""

import torch
import torch.nn.functional as F


def scsa(layer, x):
    """SCSA: two gated sequences, then attention between channels by the whole map A.

    Args:
        layer (mmxattn.layers.SCSA): Its parameters are used.
        x (Tensor): (B, C, H, W).

    Returns:
        Tensor: (B, C, H, W).
    """
    rows = _sequence_gate(layer, x.mean(3), layer.norm_h)  # (B, C, H)
    columns = _sequence_gate(layer, x.mean(2), layer.norm_w)  # (B, C, W)
    x = x * rows.unsqueeze(3) * columns.unsqueeze(2)  # Eq. 7
    _, channels, height, width = x.shape
    pooled = F.avg_pool2d(x, (min(layer.window_size, height), min(layer.window_size, width)))  # Eq. 8
    pooled = layer.norm(pooled)
    q, k, v = (project(pooled).flatten(2) for project in (layer.q, layer.k, layer.v))  # Eq. 10: (B, C, N)
    gate = (_attention_map(q, k, channels) @ v).mean(2).sigmoid()  # Eq. 11 and 12: (B, C)
    return x * gate[:, :, None, None]


def _sequence_gate(layer, sequence, norm):
    """Eq. 1 to 6: (B, C, L) -> (B, C, L)."""
    convolutions = (layer.local_dwc, layer.global_dwc_s, layer.global_dwc_m, layer.global_dwc_l)
    groups = [convolution(group) for convolution, group in zip(convolutions, sequence.chunk(4, dim=1))]
    return norm(torch.cat(groups, dim=1)).sigmoid()


def fine(layer, low, high):
    """FINE: softmax(Q K^T / sqrt(d)) V with the map stored, the feed-forward network, up, product and sum.

    Args:
        layer (mmxattn.layers.FINE): Its parameters are used.
        low (Tensor): (B, C, H, W).
        high (Tensor): (B, C, H', W').

    Returns:
        Tensor: (B, C, H, W).
    """
    low_pooled = F.avg_pool2d(low, layer.kernel_size * layer.sampling_ratio, ceil_mode=True)  # Eq. 4
    high_pooled = F.avg_pool2d(high, layer.kernel_size, ceil_mode=True)
    low_tokens, high_tokens = (x.flatten(2).transpose(1, 2) for x in (low_pooled, high_pooled))  # (B, N, C)
    projected = layer.q_proj(low_tokens), layer.k_proj(high_tokens), layer.v_proj(high_tokens)  # Eq. 5
    q, k, v = (x.unflatten(2, (layer.num_heads, -1)).transpose(1, 2) for x in projected)  # (B, h, N, C/h)
    x = _attention_map(q, k, q.shape[3]) @ v  # Eq. 6
    x = layer.out_proj(x.transpose(1, 2).flatten(2))  # Eq. 7
    x = low_tokens + layer.norm1(x)
    x = x + layer.norm2(layer.linear2(F.gelu(layer.linear1(x))))
    coarse = x.transpose(1, 2).unflatten(2, low_pooled.shape[2:])
    modulation = F.interpolate(coarse, size=low.shape[2:], mode='bilinear', align_corners=False)  # Eq. 8
    return low * modulation + low  # Eq. 9


def cfsam(layer, maps):
    """CFSAM: the tokens of all levels dealt out to parts, softmax attention with the map stored, and back.

    Args:
        layer (mmxattn.layers.CFSAM): Its parameters are used.
        maps (list[Tensor]): (B, C_i, H_i, W_i), one a level.

    Returns:
        list[Tensor]: Of the same shapes.
    """
    local = [_local_features(extract, x) for extract, x in zip(layer.local, maps)]
    tokens = torch.cat([x.flatten(2).transpose(1, 2) for x in local], dim=1)  # Eq. 1: (B, N, C)
    length = tokens.shape[1]
    parts = layer.parts(length)
    x = _resample(tokens, -(-length // parts) * parts)
    x = torch.cat([x[:, part::parts] for part in range(parts)])  # Eq. 2: (P*B, N/P, C)
    for block in layer.blocks:
        x = _transformer_block(block, x)  # Eq. 3
    x = torch.stack(x.chunk(parts), dim=2).flatten(1, 2)  # Eq. 4: (B, N, C)
    tokens = layer.fusion(torch.cat((tokens, _resample(x, length)), dim=2))  # Eq. 5
    sizes = [x.shape[2:] for x in maps]
    levels = tokens.transpose(1, 2).split([height * width for height, width in sizes], dim=2)
    return [restore(x.unflatten(2, size)) for restore, x, size in zip(layer.restore, levels, sizes)]


def _local_features(extract, x):
    """(B, C_i, H, W) -> (B, C, H, W)."""
    return extract.conv1x1(extract.act(extract.normalize(extract.conv3x3(x))))


def _transformer_block(block, x):
    """(B, N, C) -> (B, N, C)."""
    q, k, v = (y.unflatten(2, (block.num_heads, -1)).transpose(1, 2) for y in block.qkv(block.norm1(x)).chunk(3, dim=2))
    x = x + block.proj((_attention_map(q, k, q.shape[3]) @ v).transpose(1, 2).flatten(2))
    return x + block.mlp(block.norm2(x))


def _resample(tokens, length):
    """(B, N, C) -> (B, length, C), linear."""
    if tokens.shape[1] == length:
        return tokens
    return F.interpolate(tokens.transpose(1, 2), size=length, mode='linear', align_corners=False).transpose(1, 2)


def cla(layer, fine_map, coarse, embedding):
    """CLA in the paper's order: correlations of all patches with all, mixed over channels, times the values.

    Args:
        layer (mmxattn.layers.CrossLayerAttention): Its parameters are used.
        fine_map (Tensor): (B, C_i, H_i, W_i).
        coarse (Tensor): (B, C_j, H_j, W_j).
        embedding (Tensor): (B, E, H_j, W_j).

    Returns:
        Tensor: (B, E, H_i, W_i).
    """
    size = layer.patch_size
    query, key, value = (_patches(x, size) for x in (layer.project(fine_map), coarse, embedding))
    correlation = query @ key.transpose(2, 3) / size**2  # Eq. 1: (B, C_j, N_i, N_j)
    out = layer.mix(correlation) @ value / value.shape[2]  # Eq. 2: (B, E, N_i, d*d)
    height, width = fine_map.shape[2:]
    padded = (height + -height % size, width + -width % size)
    out = F.fold(out.transpose(2, 3).flatten(1, 2), padded, size, stride=size)
    return out[:, :, :height, :width]


def _patches(x, size):
    """(B, C, H, W) -> (B, C, N, d*d), zero-padded on the right and at the bottom."""
    height, width = x.shape[2:]
    x = F.pad(x, (0, -width % size, 0, -height % size))
    return F.unfold(x, size, stride=size).unflatten(1, (-1, size**2)).transpose(2, 3)


def _attention_map(q, k, scale_by):
    """softmax(Q K^T / sqrt(scale_by)), in memory as a whole."""
    return (q @ k.transpose(-2, -1) / scale_by**0.5).softmax(-1)
