"""The papers in plain PyTorch, one file a paper. Nothing here imports OpenMMLab."""
from ..utils.arguments import tell_arguments
from .cfsam import CFSAM
from .cla import CrossLayerAttention
from .cla_decoder import CLADecoder
from .fine import FINE
from .scsa import SCSA

__all__ = ['CFSAM', 'SCSA', 'FINE', 'CLADecoder', 'CrossLayerAttention']

for layer in (CFSAM, SCSA, FINE, CLADecoder, CrossLayerAttention):
    tell_arguments(layer)
