"""Lookup of components by name, and imports without a toolbox."""
import subprocess
import sys
import textwrap

import pytest
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope

from mmxattn import models
from mmxattn.registry import MODELS


def run(code):
    """Run code in a fresh interpreter and return its output and errors."""
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', textwrap.dedent(code)], capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg', 'mmengine'])
def test_components_are_found_by_name_under_any_default_scope(scope):
    with DefaultScope.overwrite_default_scope(scope), ROOT.switch_scope_and_registry(None) as registry:
        for name in [*models.__all__, 'FINE']:
            assert name in MODELS.module_dict and registry.get(name) is MODELS.get(name), name


@pytest.mark.slow
def test_components_are_found_with_scope_without_custom_imports():
    out = run('''
        from mmdet.registry import MODELS
        assert 'mmxattn' not in __import__('sys').modules
        neck = MODELS.build(dict(type='mmxattn.FINEFPN', in_channels=[8, 8], out_channels=8, num_outs=2,
                                 kernel_sizes=(1, )))
        print(type(neck))
        ''')
    assert "<class 'mmxattn.models.necks.fine_fpn.FINEFPN'>" in out


HIDE = '''
    import sys
    class Hide:
        def find_spec(self, name, path=None, target=None):
            if name.split('.')[0] in {hidden}:
                raise ModuleNotFoundError(name)
    import importlib.util
    find_spec = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *args: None if name in {hidden} else find_spec(name, *args)
    sys.meta_path.insert(0, Hide())
'''


@pytest.mark.slow
@pytest.mark.parametrize('hidden, registered, missing', [('mmdet', 'CLASegformerHead', 'FINEFPN'),
                                                         ('mmseg', 'FINEFPN', 'CLASegformerHead')])
def test_component_of_a_missing_toolbox_names_the_command(hidden, registered, missing):
    out = run(HIDE.format(hidden=(hidden, )) + f'''
    import mmxattn
    from mmengine.registry import MODELS
    assert MODELS.get('{registered}').__module__.startswith('mmxattn.models.')
    MODELS.build(dict(type='{missing}'))
    ''')
    assert f"{missing} requires {hidden}, which is not installed. Run: pip install 'mmxattn[openmmlab]'" in out


def test_layers_require_only_torch():
    hidden = ('mmengine', 'mmcv', 'mmdet', 'mmseg', 'numpy', 'PIL', 'sklearn', 'cv2', 'timm')
    out = run(HIDE.format(hidden=hidden) + '''
    import torch
    from mmxattn.layers import CFSAM, FINE, SCSA, CrossLayerAttention
    from mmxattn.layers import baselines
    print(SCSA(8)(torch.ones(1, 8, 3, 3)).shape, baselines.ELA(16))
    import mmxattn.models
    ''')
    assert 'torch.Size([1, 8, 3, 3])' in out
    assert 'ImportError: mmxattn.models requires mmengine, mmcv, which is not installed' in out
