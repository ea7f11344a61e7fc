"""Known issues of installed versions and their workarounds."""
from collections.abc import Mapping
from dataclasses import dataclass

from .installed import Installed

__all__ = ['KNOWN_ISSUES', 'KnownIssue', 'find_issues']


@dataclass(frozen=True)
class KnownIssue:
    """A known issue.

    Attributes:
        description: What happens.
        versions: Version ranges by distribution, all of which must match. If there are several mappings, one must.
        kind: 'patched' if importing mmxattn fixes it, 'conflict' if these versions do not work together and a package
            must be reinstalled, 'limitation' if there is only a workaround.
        fix: The workaround, or the command that fixes it.
        check: Check in ``checks.py`` that passes if the issue has no effect. Empty if the versions decide.
        source: Upstream issue.
    """

    description: str
    versions: tuple[Mapping[str, str], ...]
    kind: str
    fix: str
    check: str = ''
    source: str = ''

    def applies_to(self, installed: Installed) -> bool:
        """Check whether the installed versions have the issue."""
        return any(installed.matches(ranges) for ranges in self.versions)


PATCHED = 'fixed by `import mmxattn`; configs need mmxattn in custom_imports'
MMCV = 'pip install --no-build-isolation --no-cache-dir mmcv==2.1.0'

KNOWN_ISSUES = (
    KnownIssue('torch is older than 2.1', ({'torch': '<2.1'}, ), 'conflict', "pip install 'torch>=2.1'"),
    KnownIssue('torch before 2.3 is compiled against NumPy 1', ({'torch': '<2.3', 'numpy': '>=2'}, ), 'conflict',
               "pip install 'numpy<2'", 'torch_numpy'),
    KnownIssue('mmdet and mmsegmentation reject mmcv 2.2',
               ({'mmcv': '>=2.2', 'mmdet': '<=3.3.0'}, {'mmcv': '>=2.2', 'mmsegmentation': '<=1.2.2'}), 'conflict',
               MMCV),
    KnownIssue('mmcv-lite has no operators', ({'mmcv-lite': ''}, ), 'conflict',
               f'pip uninstall -y mmcv-lite && {MMCV}', 'mmcv_cpu'),
    KnownIssue('mmengine imports pkg_resources, which setuptools 81 removed',
               ({'mmengine': '<=0.10.7', 'setuptools': '>=81'}, ), 'conflict', "pip install 'setuptools<81'",
               'pkg_resources'),
    KnownIssue("mmengine registers the Adafactor of both torch and transformers under the same name",
               ({'mmengine': '<=0.10.5', 'torch': '>=2.5', 'transformers': ''}, ), 'conflict',
               "pip install 'mmengine>=0.10.6,<1'", 'components', 'open-mmlab/mmengine issue 1609'),
    KnownIssue('mmsegmentation imports ftfy and regex without declaring them',
               ({'mmsegmentation': '<=1.2.2', 'ftfy': '-'}, {'mmsegmentation': '<=1.2.2', 'regex': '-'}), 'conflict',
               'pip install ftfy regex'),
    KnownIssue('openmim parses its options as in click < 8.2', ({'openmim': '<=0.3.9', 'click': '>=8.2'}, ),
               'conflict', "pip install 'click<8.2'", 'mim_options'),
    KnownIssue('openmim downgrades setuptools below the version that torch requires',
               ({'openmim': '', 'setuptools': '<77', 'torch': '>=2.13'}, ), 'conflict',
               "pip install 'setuptools>=77,<81', and install openmim with --no-deps"),
    KnownIssue('PyTorch loads only weights by default, and checkpoints of mmengine also hold logs: UnpicklingError in '
               '`mim test` and `--resume`', ({'torch': '>=2.6', 'mmengine': '<=0.10.7'}, ), 'patched', PATCHED,
               'checkpoint_types'),
    KnownIssue('SSDHead has no loss_cls: predictions of SSD raise AttributeError',
               ({'mmdet': '>=3.3.0'}, {'onedl-mmdetection': '<=3.5.1'}), 'patched', PATCHED, 'ssd_predicts',
               'open-mmlab/mmdetection issue 11780'),
    KnownIssue('frozen_stages freezes new plugins at their random initialization',
               ({'mmdet': ''}, {'onedl-mmdetection': ''}), 'patched', PATCHED, 'frozen_stages'),
    KnownIssue('the checkpoint of a single neck does not load into a list of necks',
               ({'mmdet': ''}, {'onedl-mmdetection': ''}), 'patched', PATCHED, 'neck_list'),
    KnownIssue('BatchNorm raises on a 1x1 feature map of one image in training', ({'torch': ''}, ), 'patched',
               'CFSAM, SCSA and MobileViTBlock use the running statistics instead; other modules need two images per '
               'GPU, or GroupNorm', 'single_value_norm'),
    KnownIssue('if a position has several plugins, only the last one has an effect',
               ({'mmsegmentation': '<=1.2.2'}, {'onedl-mmsegmentation': '<=1.4.2'}), 'limitation',
               'use one plugin per position', 'chained_plugins'),
    KnownIssue("_base_ = 'mmseg::...' and 'mmdet::...' are not found", ({'onedl-mmengine': '<=0.10.12'}, ),
               'limitation', "_base_ = __import__('mmseg').__path__[0] + '/.mim/configs/...' works on both stacks",
               'mmseg_base'),
    KnownIssue('checkpoints that PyTorch refuses to load are loaded without protection and can run code',
               ({'onedl-mmengine': '', 'torch': '>=2.6'}, ), 'patched', PATCHED, 'safe_loading'),
    KnownIssue('openmim does not find an editable install', ({'openmim': '', 'mmxattn': ''}, ), 'limitation',
               'use paths: `mim train mmdet PATH`, `python tools/NAME.py`; or link the package into site-packages',
               'mim'),
    KnownIssue('onedl-mim mistakes the metadata of a package for the package: `mim run mmxattn` fails unless mmxattn '
               'is installed with -e', ({'onedl-mim': '<=0.5.1', 'mmxattn': ''}, ), 'limitation',
               '`python $(python -c "import mmxattn; print(mmxattn.__path__[0])")/.mim/tools/NAME.py`', 'mim'),
)


def find_issues(installed: Installed) -> list[KnownIssue]:
    """Return the known issues of the installed versions."""
    return [issue for issue in KNOWN_ISSUES if issue.applies_to(installed)]
