# ruff: noqa: F401 (what is imported here is exported by the names below)
"""The parts as OpenMMLab components: they adapt arguments, register, and hand over to ``mmxattn.layers``."""
from ..utils.toolboxes import installed, require, stand_in

require('mmxattn.models', 'mmengine', 'mmcv')

from ..registry import MODELS  # noqa: E402
from .backbones.with_plugins import WithPlugins  # noqa: E402
from .necks.cfam_neck import CFAMNeck  # noqa: E402
from .necks.cfsam_neck import CFSAMNeck  # noqa: E402
from .necks.per_level_neck import PerLevelNeck  # noqa: E402
from .plugins.baselines import CA, CBAM, CPCA, ECA, ELA, EMA, FCA, SA, SE  # noqa: E402
from .plugins.mobilevit import MobileViTBlock  # noqa: E402
from .plugins.scsa import SCSA  # noqa: E402

__all__ = ['CA', 'CBAM', 'CFAMNeck', 'CFSAMNeck', 'CPCA', 'ECA', 'ELA', 'EMA', 'FCA', 'MobileViTBlock', 'PerLevelNeck',
           'SA', 'SCSA', 'SE', 'WithPlugins']

if installed('mmdet'):
    from .necks.aligned_fpn import AlignedFPN
    from .necks.baseline_fpns import MGCFPN, SNI, AdaFPNAlignment, FaPN, FaPNAlignment
    from .necks.fine_csp_pafpn import FINEYOLOXPAFPN, FINECSPNeXtPAFPN
    from .necks.fine_fpn import FINEFPN
    from .necks.fine_pafpn import FINEPAFPN
    from .rtdetr.detector import RTDETR
    from .rtdetr.fine_hybrid_encoder import FINEHybridEncoder
    from .rtdetr.head import RTDETRHead
    from .rtdetr.hybrid_encoder import RTDETRHybridEncoder
    from .rtdetr.iou_varifocal_loss import IoUVarifocalLoss
    from .rtdetr.mgc_hybrid_encoder import MGCHybridEncoder
    from .rtdetr.resnet_vd import ResNetVD

if installed('mmseg'):
    from .decode_heads.afma_segformer_head import AFMASegformerHead
    from .decode_heads.cla_fpn_head import CLAFPNHead
    from .decode_heads.cla_segformer_head import CLASegformerHead
    from .decode_heads.cla_uper_head import CLAUPerHead
    from .segmentors.image_encoder_decoder import ImageEncoderDecoder

OVER = dict(
    mmdet=['AdaFPNAlignment', 'AlignedFPN', 'FINECSPNeXtPAFPN', 'FINEFPN', 'FINEHybridEncoder', 'FINEPAFPN',
           'FINEYOLOXPAFPN', 'FaPN', 'FaPNAlignment', 'IoUVarifocalLoss', 'MGCFPN', 'MGCHybridEncoder', 'RTDETR',
           'RTDETRHead', 'RTDETRHybridEncoder', 'ResNetVD', 'SNI'],
    mmseg=['AFMASegformerHead', 'CLAFPNHead', 'CLASegformerHead', 'CLAUPerHead', 'ImageEncoderDecoder'])

for toolbox, parts in OVER.items():
    if installed(toolbox):
        __all__ += parts
    else:
        for part in parts:
            MODELS.register_module(name=part, module=stand_in(part, toolbox))
