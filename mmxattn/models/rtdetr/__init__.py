"""RT-DETR for mmdet.

Paper: Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection" (version 1), and its PyTorch release.
"""
from .detector import RTDETR
from .fine_hybrid_encoder import FINEHybridEncoder
from .head import RTDETRHead
from .hybrid_encoder import RTDETRHybridEncoder
from .loss import IoUVarifocalLoss
from .mgc_hybrid_encoder import MGCHybridEncoder
from .resnet_vd import ResNetVD

__all__ = ['FINEHybridEncoder', 'IoUVarifocalLoss', 'MGCHybridEncoder', 'RTDETR', 'RTDETRHead', 'RTDETRHybridEncoder',
           'ResNetVD']
