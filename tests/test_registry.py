"""How a config finds the parts, and what it hears where something is missing."""
import subprocess
import sys
import textwrap

import pytest
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope

from mmxattn import models
from mmxattn.registry import MODELS
from mmxattn.utils import toolboxes

PARTS = models.__all__


def run(code):
    """Run code in a fresh interpreter -> its output and errors."""
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', textwrap.dedent(code)], capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg', 'mmengine'])
@pytest.mark.parametrize('part', PARTS)
def test_found_by_name_under_any_default_scope(scope, part):
    with DefaultScope.overwrite_default_scope(scope):
        with ROOT.switch_scope_and_registry(None) as registry:
            assert registry.get(part) is MODELS.get(part) is not None


def test_found_with_scope_and_without_import():
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


@pytest.mark.parametrize('hidden, registered, missing', [('mmdet', 'CLASegformerHead', 'FINEFPN'),
                                                         ('mmseg', 'FINEFPN', 'CLASegformerHead')])
def test_a_missing_toolbox_is_told_with_the_command(hidden, registered, missing):
    out = run(HIDE.format(hidden=(hidden, )) + f'''
    import mmxattn
    from mmengine.registry import MODELS
    assert MODELS.get('{registered}').__module__.startswith('mmxattn.models.')
    MODELS.build(dict(type='{missing}'))
    ''')
    assert f"{missing} needs {hidden}, not installed here: pip install 'mmxattn[openmmlab]'" in out


def test_layers_need_torch_alone():
    hidden = ('mmengine', 'mmcv', 'mmdet', 'mmseg', 'numpy', 'PIL', 'sklearn', 'cv2')
    out = run(HIDE.format(hidden=hidden) + '''
    import torch
    from mmxattn.layers import CFSAM, FINE, SCSA, CrossLayerAttention
    print(SCSA(8)(torch.ones(1, 8, 3, 3)).shape)
    import mmxattn.models
    ''')
    assert 'torch.Size([1, 8, 3, 3])' in out
    assert 'ImportError: mmxattn.models needs mmengine, mmcv, not installed here' in out


def test_stand_in_and_require_pass_where_all_is_there():
    toolboxes.require('this', 'mmengine', 'mmcv')
    with pytest.raises(ImportError, match='this needs no_such_toolbox'):
        toolboxes.require('this', 'mmengine', 'no_such_toolbox')
