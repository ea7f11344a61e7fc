"""What the papers compare their designs with, in plain PyTorch: one file each, in the style of the parts."""
from .ca import CA
from .cbam import CBAM
from .cpca import CPCA
from .eca import ECA
from .ela import ELA
from .ema import EMA
from .fca import FCA
from .sa import SA
from .se import SE

__all__ = ['CA', 'CBAM', 'CPCA', 'ECA', 'ELA', 'EMA', 'FCA', 'SA', 'SE']
