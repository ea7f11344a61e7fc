"""Known faults of versions: what happens, in which versions, and the way around. A table: rows come and go."""
from collections.abc import Mapping
from dataclasses import dataclass

from .installed import Installed

__all__ = ['FAULTS', 'Fault', 'known']


@dataclass(frozen=True)
class Fault:
    """A known fault.

    Attributes:
        what: what happens.
        versions: ranges by distribution, all of which have to hold; several mappings where any of them will do.
        kind: 'mended', mmxattn mends it when it is imported; 'clash', these versions do not work together and something
            has to be installed anew; 'limit', it stays, and there is a way around.
        way: the workaround, or the command that ends it.
        check: the check of ``checks.py`` that passes where it does no harm; '' where the versions alone decide.
        source: where it is told of.
    """

    what: str
    versions: tuple[Mapping[str, str], ...]
    kind: str
    way: str
    check: str = ''
    source: str = ''

    def concerns(self, installed: Installed) -> bool:
        return any(installed.matches(ranges) for ranges in self.versions)


MENDED = 'mended by `import mmxattn`; a config without custom_imports of mmxattn still has it'

FAULTS = (
    Fault('torch is older than 2.1', ({'torch': '<2.1'}, ), 'clash', "pip install 'torch>=2.1'"),
    Fault('torch before 2.3 is compiled against NumPy 1', ({'torch': '<2.3', 'numpy': '>=2'}, ), 'clash',
          "pip install 'numpy<2'", 'torch_numpy'),
    Fault('mmdet and mmsegmentation refuse mmcv 2.2',
          ({'mmcv': '>=2.2', 'mmdet': '<=3.3.0'}, {'mmcv': '>=2.2', 'mmsegmentation': '<=1.2.2'}), 'clash',
          'pip install --no-build-isolation --no-cache-dir mmcv==2.1.0', 'toolbox_versions'),
    Fault('mmcv-lite has no operators', ({'mmcv-lite': ''}, ), 'clash',
          'pip uninstall -y mmcv-lite && pip install --no-build-isolation --no-cache-dir mmcv==2.1.0', 'mmcv_cpu'),
    Fault('mmengine imports pkg_resources, which setuptools gave up',
          ({'mmengine': '<=0.10.7', 'setuptools': '>=81'}, ), 'clash', "pip install 'setuptools<81'", 'pkg_resources'),
    Fault("mmengine registers torch's Adafactor and transformers' under one name",
          ({'mmengine': '<=0.10.5', 'torch': '>=2.5', 'transformers': ''}, ), 'clash',
          "pip install 'mmengine>=0.10.6,<1'", 'components', 'open-mmlab/mmengine issue 1609'),
    Fault('mmsegmentation imports ftfy and regex and asks for neither',
          ({'mmsegmentation': '<=1.2.2', 'ftfy': '-'}, {'mmsegmentation': '<=1.2.2', 'regex': '-'}), 'clash',
          'pip install ftfy regex'),
    Fault('openmim parses its options as click did before 8.2', ({'openmim': '<=0.3.9', 'click': '>=8.2'}, ), 'clash',
          "pip install 'click<8.2'", 'mim_options'),
    Fault('installing openmim lowers setuptools below what torch asks for',
          ({'openmim': '', 'setuptools': '<77', 'torch': '>=2.13'}, ), 'clash',
          "pip install 'setuptools>=77,<81', and openmim with --no-deps"),
    Fault('PyTorch loads weights only, and mmengine keeps its log beside them: UnpicklingError at `mim test` and '
          '`--resume`', ({'torch': '>=2.6', 'mmengine': '<=0.10.7'}, ), 'mended', MENDED, 'checkpoint_types'),
    Fault('SSDHead has no loss_cls: SSD raises AttributeError at every prediction',
          ({'mmdet': '>=3.3.0'}, {'onedl-mmdetection': '<=3.5.1'}), 'mended', MENDED, 'ssd_predicts',
          'open-mmlab/mmdetection issue 11780'),
    Fault('frozen_stages freezes new plugins at their random start', ({'mmdet': ''}, {'onedl-mmdetection': ''}),
          'mended', MENDED, 'frozen_stages'),
    Fault("a stock neck's checkpoint does not fit a list of necks", ({'mmdet': ''}, {'onedl-mmdetection': ''}),
          'mended', MENDED, 'chain_of_necks'),
    Fault('BatchNorm raises on a 1x1 map of one image in training', ({'torch': ''}, ), 'mended',
          'CFSAM, SCSA and MobileViTBlock take the running statistics then; other parts need two images a GPU, or '
          'GroupNorm', 'single_value_norm'),
    Fault('of several plugins at one position only the last one counts',
          ({'mmsegmentation': '<=1.2.2'}, {'onedl-mmsegmentation': '<=1.4.2'}), 'limit',
          'one plugin a position, or more of them at different positions', 'chained_plugins'),
    Fault("_base_ = 'mmseg::...' and 'mmdet::...' are not found", ({'onedl-mmengine': '<=0.10.12'}, ), 'limit',
          "_base_ = __import__('mmseg').__path__[0] + '/.mim/configs/...' works on both stacks", 'base_of_mmseg'),
    Fault('a checkpoint that PyTorch refuses is loaded without protection, and may run code',
          ({'onedl-mmengine': '', 'torch': '>=2.6'}, ), 'mended', MENDED, 'checkpoints_stay_protected'),
    Fault("mmengine's pytorch launcher asks for a GPU", ({'mmengine': ''}, {'onedl-mmengine': ''}), 'limit',
          'the train and test tools of mmxattn start several processes without one too', 'launcher_without_gpu'),
    Fault("mmdet's ResNet.train() and eval() return None", ({'mmdet': ''}, {'onedl-mmdetection': ''}), 'limit',
          'do not chain them: `model.eval()` on a line of its own', 'train_returns_the_model'),
    Fault('mmdet and mmseg export neither digit_version nor version_info', ({'onedl-mmdetection': ''}, ), 'limit',
          'take digit_version from mmengine.utils', 'digit_version'),
    Fault("mmengine's count of multiply-adds leaves attention out", ({'mmengine': ''}, {'onedl-mmengine': ''}), 'limit',
          '`mim run mmxattn compare` counts it', 'attention_counted'),
    Fault('openmim does not find an editable install', ({'openmim': '', 'mmxattn': ''}, ), 'limit',
          'give paths: `mim train mmdet PATH`, `python tools/NAME.py`; or link the package into site-packages', 'mim'),
    Fault('onedl-mim takes the metadata of a package for the package: `mim run mmxattn` does not start on a normal '
          'install (one without -e)', ({'onedl-mim': '<=0.5.1', 'mmxattn': ''}, ), 'limit',
          '`python $(python -c "import mmxattn; print(mmxattn.__path__[0])")/.mim/tools/NAME.py`', 'mim'),
)


def known(installed: Installed) -> list[Fault]:
    """The faults of FAULTS that concern these versions."""
    return [fault for fault in FAULTS if fault.concerns(installed)]
