"""Methods that the papers compare against, in plain PyTorch, one file per paper."""
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
