"""What the layers are held against: literal, slow forms of the papers' equations, and the authors' arrays."""
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

DATA = Path(__file__).parents[1] / 'data'


def assert_agrees_with_reference(module, name, num_inputs, tolerance=1e-5, parameter_tolerance=1e-5):
    """Outputs and all gradients of ``module`` against an array file of the authors' implementation."""
    arrays = {key: torch.from_numpy(value) for key, value in np.load(DATA / name).items()}
    module.load_state_dict({key[6:]: value for key, value in arrays.items() if key.startswith('param.')})
    module.eval()
    inputs = [arrays[f'x{i}'].requires_grad_() for i in range(num_inputs)]
    out = module(*inputs)
    (out * arrays['grad_y']).sum().backward()
    assert relative_error(out, arrays['y']) < tolerance
    for i, x in enumerate(inputs):
        assert relative_error(x.grad, arrays[f'grad_x{i}']) < tolerance
    for key, parameter in module.named_parameters():
        assert relative_error(parameter.grad, arrays[f'grad.{key}']) < parameter_tolerance, key


def relative_error(a, b):
    return ((a - b).norm() / b.norm()).item()


def scsa(layer, x):
    """SCSA as printed: sequences, convolutions, both products, the full attention map."""
    xs = layer_smsa(layer, x)
    batch, channels, height, width = xs.shape
    pooled = F.avg_pool2d(xs, (min(7, height), min(7, width)))
    normed = F.layer_norm(pooled, pooled.shape[1:]) * layer.norm.weight.view(-1, 1, 1) + layer.norm.bias.view(-1, 1, 1)
    q, k, v = (normed.flatten(2) * proj.weight.view(-1, 1) for proj in (layer.q, layer.k, layer.v))
    gates = []
    for b in range(batch):
        attn = torch.softmax(q[b] @ k[b].T / channels**0.5, dim=1)
        gates.append(torch.sigmoid((attn @ v[b]).mean(1)))
    return xs * torch.stack(gates).view(batch, channels, 1, 1)


def layer_smsa(layer, x):
    convs = (layer.local_dwc, layer.global_dwc_s, layer.global_dwc_m, layer.global_dwc_l)

    def gate(sequence, norm):
        groups = []
        for conv, group in zip(convs, sequence.chunk(4, 1)):
            group = conv(group)
            mean, var = group.mean((1, 2), keepdim=True), group.var((1, 2), keepdim=True, unbiased=False)
            groups.append((group - mean) / (var + 1e-5).sqrt())
        return torch.sigmoid(torch.cat(groups, 1) * norm.weight.view(-1, 1) + norm.bias.view(-1, 1))

    return x * gate(x.mean(3), layer.norm_h)[:, :, :, None] * gate(x.mean(2), layer.norm_w)[:, :, None]


def fine(layer, low, high):
    """FINE pixel by pixel and head by head, with softmax attention."""

    def pool(x, size):
        height, width = -(-x.shape[2] // size), -(-x.shape[3] // size)
        return torch.stack([
            x[:, :, i * size:(i + 1) * size, j * size:(j + 1) * size].mean((2, 3))
            for i in range(height) for j in range(width)], 1), (height, width)  # (B, N, C)

    low_tokens, size = pool(low, layer.kernel_size * layer.sampling_ratio)
    high_tokens, _ = pool(high, layer.kernel_size)
    q, k, v = layer.q_proj(low_tokens), layer.k_proj(high_tokens), layer.v_proj(high_tokens)
    dim = layer.channels // layer.num_heads
    heads = []
    for h in range(layer.num_heads):
        s = slice(h * dim, (h + 1) * dim)
        scores = torch.einsum('bnd,bmd->bnm', q[..., s], k[..., s]) / dim**0.5
        heads.append(scores.exp() / scores.exp().sum(2, keepdim=True) @ v[..., s])
    m = layer.out_proj(torch.cat(heads, 2))
    if layer.has_ffn:
        x = low_tokens + layer.norm1(m)
        m = x + layer.norm2(layer.linear2(F.gelu(layer.linear1(x))))
    m = m.transpose(1, 2).reshape(low.shape[0], layer.channels, *size)
    m = F.interpolate(m, size=low.shape[2:], mode='bilinear')
    return low * m + low


def cfsam_global(layer, tokens, parts):
    """Partition, Transformer, Combine for lengths that ``parts`` divides: each part on its own, softmax spelt out."""
    out = torch.empty_like(tokens)
    for p in range(parts):
        x = tokens[:, p::parts]
        for block in layer.blocks:
            y = block.norm1(x)
            q, k, v = block.qkv(y).chunk(3, dim=2)
            dim = q.shape[2] // block.num_heads
            heads = []
            for h in range(block.num_heads):
                s = slice(h * dim, (h + 1) * dim)
                attn = (q[..., s] @ k[..., s].transpose(1, 2) / dim**0.5).softmax(2)
                heads.append(attn @ v[..., s])
            x = x + block.proj(torch.cat(heads, 2))
            x = x + block.mlp(block.norm2(x))
        out[:, p::parts] = x
    return out


def cut(image, d):
    """Patches of d x d pixels, one by one: (C, H, W) -> (C, N, d*d), and how many there are in a column and a row."""
    rows, columns = -(-image.shape[1] // d), -(-image.shape[2] // d)
    image = F.pad(image, (0, columns * d - image.shape[2], 0, rows * d - image.shape[1]))
    return torch.stack([image[:, i * d:(i + 1) * d, j * d:(j + 1) * d].flatten(1)
                        for i in range(rows) for j in range(columns)], 1), rows, columns


def put_together(patches, d, rows, columns):
    """The inverse of :func:`cut`, with the padding: (C, N, d*d) -> (C, rows*d, columns*d)."""
    image = patches.new_empty(patches.shape[0], rows * d, columns * d)
    for n in range(rows * columns):
        i, j = divmod(n, columns)
        image[:, i * d:(i + 1) * d, j * d:(j + 1) * d] = patches[:, n].view(-1, d, d)
    return image


def cla(layer, fine_map, coarse, embedding):
    """CLA patch by patch and channel by channel, in the paper's order."""
    d = layer.patch_size

    outs = []
    for a, f, v in zip(layer.project(fine_map), coarse, embedding):
        (a, rows, columns), (f, _, _), (v, _, _) = (cut(x, d) for x in (a, f, v))
        correlation = a @ f.transpose(1, 2)  # Eq. 1
        if layer.normalisation:
            correlation, v = correlation / d**2, v / v.shape[1]
        mixed = torch.einsum('ec,cnm->enm', layer.mix.weight[:, :, 0, 0], correlation) + layer.mix.bias.view(-1, 1, 1)
        out = mixed @ v  # Eq. 2
        outs.append(put_together(out, d, rows, columns)[:, :fine_map.shape[2], :fine_map.shape[3]])
    return torch.stack(outs)


def afma(layer, image, feature_map):
    """The across feature map attention, image by image: (B, N_c, N_I, N_F)."""
    d = layer.patch_size
    pairs = zip(layer.image_classes(image), layer.map_classes(feature_map))
    return torch.stack([cut(a, d)[0] @ cut(f, d)[0].transpose(1, 2) / d**2 for a, f in pairs])


def afma_gold(layer, gold, size):
    """That of the true masks."""
    d = layer.patch_size
    return torch.stack([cut(a, d)[0] @ cut(F.adaptive_avg_pool2d(a, size), d)[0].transpose(1, 2) / d**2 for a in gold])


def afma_modified(layer, attention, masks, size):
    """The masks, plus the attention times the pooled masks."""
    d, outs = layer.patch_size, []
    for a, m in zip(attention, masks):
        v, _, _ = cut(F.adaptive_avg_pool2d(m, size), d)
        rows, columns = -(-m.shape[1] // d), -(-m.shape[2] // d)
        outs.append(m + put_together(a @ v / v.shape[1], d, rows, columns)[:, :m.shape[1], :m.shape[2]])
    return torch.stack(outs)
