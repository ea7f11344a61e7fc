# ruff: noqa: E402, F401
"""OpenMMLab components: adapters that register the layers as backbones, necks, plugins and heads."""
from ..utils.toolboxes import installed, placeholder, require

require('mmxattn.models', 'mmengine', 'mmcv')

from ..registry import MODELS
from .backbones.with_plugins import WithPlugins
from .necks.cfam_neck import CFAMNeck
from .necks.cfsam_neck import CFSAMNeck
from .necks.per_level_neck import PerLevelNeck
from .plugins.baselines import CA, CBAM, CPCA, ECA, ELA, EMA, FCA, SA, SE, MobileViTBlock
from .plugins.scsa import SCSA

__all__ = ['CA', 'CBAM', 'CFAMNeck', 'CFSAMNeck', 'CPCA', 'ECA', 'ELA', 'EMA', 'FCA', 'MobileViTBlock', 'PerLevelNeck',
           'SA', 'SCSA', 'SE', 'WithPlugins']

if installed('mmdet'):
    from .necks.aligned_fpn import AlignedFPN
    from .necks.baseline_fpns import MGCFPN, SNI, AdaFPNAlignment, FaPN, FaPNAlignment
    from .necks.fine_csp_pafpn import FINEYOLOXPAFPN, FINECSPNeXtPAFPN
    from .necks.fine_fpn import FINEFPN
    from .necks.fine_pafpn import FINEPAFPN
    from .rtdetr import (
        RTDETR,
        FINEHybridEncoder,
        IoUVarifocalLoss,
        MGCHybridEncoder,
        ResNetVD,
        RTDETRHead,
        RTDETRHybridEncoder,
    )

if installed('mmseg'):
    from .decode_heads.afma_segformer_head import AFMASegformerHead
    from .decode_heads.cla_fpn_head import CLAFPNHead
    from .decode_heads.cla_segformer_head import CLASegformerHead
    from .decode_heads.cla_uper_head import CLAUPerHead
    from .segmentors.image_encoder_decoder import ImageEncoderDecoder

# Components that need a toolbox; without it a placeholder names the missing package.
REQUIRES = dict(
    mmdet=['AdaFPNAlignment', 'AlignedFPN', 'FINECSPNeXtPAFPN', 'FINEFPN', 'FINEHybridEncoder', 'FINEPAFPN',
           'FINEYOLOXPAFPN', 'FaPN', 'FaPNAlignment', 'IoUVarifocalLoss', 'MGCFPN', 'MGCHybridEncoder', 'RTDETR',
           'RTDETRHead', 'RTDETRHybridEncoder', 'ResNetVD', 'SNI'],
    mmseg=['AFMASegformerHead', 'CLAFPNHead', 'CLASegformerHead', 'CLAUPerHead', 'ImageEncoderDecoder'])

for toolbox, names in REQUIRES.items():
    if installed(toolbox):
        __all__ += names
    else:
        for name in names:
            MODELS.register_module(name=name, module=placeholder(name, toolbox))
