"""Attention modules from the papers in plain PyTorch, one file per paper."""
from .cfsam import CFSAM
from .cla import CrossLayerAttention
from .cla_decoder import CLADecoder
from .fine import FINE
from .scsa import SCSA

__all__ = ['CFSAM', 'SCSA', 'FINE', 'CLADecoder', 'CrossLayerAttention']
