"""CSPRepLayer: the fusion block of RT-DETR's hybrid encoder.

Paper: Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection", Fig. 4: two 1x1 convolutions of the concatenated
maps, RepVGG blocks on one of them, their sum.

Beside the paper's text: ``expansion`` sets the width inside, 1 in RT-DETR-R50 and 0.5 in R18, where a third 1x1
convolution brings the sum to the width outside (the release's; the published counts ask for it).
"""
from torch import Tensor, nn

from .rep_vgg import ConvNorm, RepVGGBlock

__all__ = ['CSPRepLayer']


class CSPRepLayer(nn.Module):
    """Fuse two maps that were concatenated: (B, C_in, H, W) -> (B, C_out, H, W).

    Args:
        in_channels: C_in.
        out_channels: C_out.
        num_blocks: RepVGG blocks.
        expansion: width inside over C_out.
    """

    def __init__(self, in_channels: int, out_channels: int, num_blocks: int = 3, expansion: float = 1.0):
        super().__init__()
        hidden = int(out_channels * expansion)
        self.conv1 = ConvNorm(in_channels, hidden, act=nn.SiLU)
        self.conv2 = ConvNorm(in_channels, hidden, act=nn.SiLU)
        self.bottlenecks = nn.Sequential(*(RepVGGBlock(hidden) for _ in range(num_blocks)))
        self.conv3 = nn.Identity() if hidden == out_channels else ConvNorm(hidden, out_channels, act=nn.SiLU)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(self.bottlenecks(self.conv1(x)) + self.conv2(x))
