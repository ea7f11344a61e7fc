"""ResNet-vd, the backbone of RT-DETR."""
import re
from typing import Any

from mmcv.cnn import build_conv_layer, build_norm_layer
from mmdet.models.backbones import ResNetV1d
from torch import Tensor, nn

from ...registry import MODELS

__all__ = ['ResNetVD', 'convert_backbone']

# Names in RT-DETR's release and its ImageNet weights -> names in mmdet's ResNet.
RELEASED_NAMES = (
    (r'^conv1\.conv1_(\d)\.conv\.', lambda m: f'stem.{3 * int(m[1]) - 3}.'),
    (r'^conv1\.conv1_(\d)\.norm\.', lambda m: f'stem.{3 * int(m[1]) - 2}.'),
    (r'^res_layers\.(\d)\.blocks\.', lambda m: f'layer{int(m[1]) + 1}.'),
    (r'\.branch2([abc])\.conv\.', lambda m: f'.conv{ord(m[1]) - 96}.'),
    (r'\.branch2([abc])\.norm\.', lambda m: f'.bn{ord(m[1]) - 96}.'),
    (r'\.short\.(conv\.)?norm\.', '.downsample.2.'),
    (r'\.short\.(conv\.)?conv\.', '.downsample.1.'),
)


def convert_backbone(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of a released backbone to those of :class:`ResNetVD`."""
    renamed = {}
    for name, tensor in state_dict.items():
        for pattern, replacement in RELEASED_NAMES:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


@MODELS.register_module()
class ResNetVD(ResNetV1d):
    """mmdet's ResNetV1d with a projection shortcut in the first block of every stage.

    They differ in stage 1 of ResNet-18 and 34, where mmdet uses an identity shortcut. The release and the published
    parameter count of RT-DETR-R18 include the projection (4,224 parameters). Weights with the names of RT-DETR's
    release, such as its ImageNet weights in ``init_cfg``, load directly.

    Args:
        **kwargs: Arguments of :class:`mmdet.models.ResNetV1d`.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._register_load_state_dict_pre_hook(self._rename_released)

    def make_res_layer(self, **kwargs: Any) -> nn.Module:
        """Build a stage whose first block has a projection shortcut."""
        stage = super().make_res_layer(**kwargs)
        if stage[0].downsample is None:
            channels = kwargs['planes'] * kwargs['block'].expansion
            stage[0].downsample = nn.Sequential(
                nn.Identity(),  # average pooling in the other stages
                build_conv_layer(kwargs['conv_cfg'], kwargs['inplanes'], channels, kernel_size=1, bias=False),
                build_norm_layer(kwargs['norm_cfg'], channels)[1])
        return stage

    @staticmethod
    def _rename_released(state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        if f'{prefix}conv1.conv1_1.conv.weight' not in state_dict:
            return
        released = {name[len(prefix):]: state_dict.pop(name) for name in list(state_dict) if name.startswith(prefix)}
        state_dict.update({prefix + name: tensor for name, tensor in convert_backbone(released).items()})
