"""Deformable convolution in plain PyTorch."""
import torch
import torch.nn.functional as F
from torch import nn


class ReferenceDeformConv(nn.Module):
    """Modulated deformable 3x3 convolution, point by point; zero outside the map."""

    def __init__(self, in_channels, out_channels, kernel_size, padding, deform_groups):
        super().__init__()
        assert (kernel_size, padding) == (3, 1)
        self.groups = deform_groups
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3) / in_channels)
        self.bias = nn.Parameter(torch.randn(out_channels))

    def forward(self, x, offset, mask):
        batch, channels, height, width = x.shape
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
        out = self.bias.view(1, -1, 1, 1)
        for group in range(self.groups):
            part = slice(group * channels // self.groups, (group + 1) * channels // self.groups)
            for point in range(9):
                n = group * 9 + point
                row = rows + point // 3 - 1 + offset[:, 2 * n]
                column = columns + point % 3 - 1 + offset[:, 2 * n + 1]
                grid = torch.stack(((2 * column + 1) / width - 1, (2 * row + 1) / height - 1), 3)
                sample = F.grid_sample(x[:, part], grid, align_corners=False) * mask[:, n:n + 1]
                out = out + torch.einsum('oc,bchw->bohw', self.weight[:, part, point // 3, point % 3], sample)
        return out
