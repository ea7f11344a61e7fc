"""What the papers compare their designs with, in plain PyTorch: one file each, in the style of the parts."""
from ...utils.arguments import tell_arguments
from .adafpn import AdaFPNAlignment
from .afma import AFMA
from .ca import CA
from .cbam import CBAM
from .cfam import CFAM
from .cpca import CPCA
from .eca import ECA
from .ela import ELA
from .ema import EMA
from .fapn import FaPNAlignment, FeatureSelection
from .fca import FCA
from .mgc import MGC
from .mobilevit import MobileViTBlock
from .sa import SA
from .se import SE
from .sni import SNI

__all__ = ['AFMA', 'AdaFPNAlignment', 'CA', 'CBAM', 'CFAM', 'CPCA', 'ECA', 'ELA', 'EMA', 'FCA', 'FaPNAlignment',
           'FeatureSelection', 'MGC', 'MobileViTBlock', 'SA', 'SE', 'SNI']

for layer in (AFMA, AdaFPNAlignment, CA, CBAM, CFAM, CPCA, ECA, ELA, EMA, FCA, FaPNAlignment, FeatureSelection, MGC,
              MobileViTBlock, SA, SE, SNI):
    tell_arguments(layer)
