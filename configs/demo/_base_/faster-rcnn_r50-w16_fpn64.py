"""faster-rcnn_r18-w32_fpn64.py with ResNet-50 of base width 16, because plugins need Bottleneck blocks."""
_base_ = './faster-rcnn_r18-w32_fpn64.py'
model = dict(backbone=dict(depth=50, base_channels=16), neck=dict(in_channels=[64, 128, 256, 512]))
